"""Hosts that refuse something: the server runs all the same, and says so in one sentence."""

import ctypes
import platform
import re
import resource
import struct

from program import ANY_PORT, Program, pool, run, scratch
from runner import Skip

LIBC = ctypes.CDLL(None, use_errno=True)
NO_NEW_PRIVILEGES, SECCOMP, CAPBSET_DROP = 38, 22, 24
CAP_IPC_LOCK = 14
EPERM, EINVAL, F_SETFL = 1, 22, 4
# System calls and the O_DIRECT flag, which differ by architecture.
NUMBERS = {"x86_64": (0xC000003E, 425, 72, 0x4000), "aarch64": (0xC00000B7, 425, 25, 0x10000)}


def load(offset):
    return struct.pack("HBBI", 0x20, 0, 0, offset)


def jump(code, value, yes, no):
    return struct.pack("HBBI", code, yes, no, value)


def give(value):
    return struct.pack("HBBI", 0x06, 0, 0, value)


EQUAL, ANY_BIT, ALLOW, ERRNO = 0x15, 0x45, 0x7FFF0000, 0x00050000


def filters():
    """Programs of seccomp: (no io_uring, no O_DIRECT)."""
    if platform.machine() not in NUMBERS:
        raise Skip(f"no filter for {platform.machine()}")
    _, io_uring_setup, fcntl, direct = NUMBERS[platform.machine()]
    no_uring = [load(0), jump(EQUAL, io_uring_setup, 0, 1), give(ERRNO | EPERM), give(ALLOW)]
    # Arguments are of 8 bytes, from offset 16 on; little-endian machines only.
    no_direct = [
        load(0), jump(EQUAL, fcntl, 0, 5), load(24), jump(EQUAL, F_SETFL, 0, 3), load(32),
        jump(ANY_BIT, direct, 0, 1), give(ERRNO | EINVAL), give(ALLOW),
    ]  # fmt: skip
    return no_uring, no_direct


def under(program):
    """A function that puts the child under a filter."""
    code = b"".join(program)

    def before():
        buffer = ctypes.create_string_buffer(code, len(code))
        given = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(buffer))
        argument = ctypes.create_string_buffer(given, len(given))
        if LIBC.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or LIBC.prctl(SECCOMP, 2, argument, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")

    return before


def serves(program, driver):
    """It stores and reads, on that driver."""
    client = program.serving().client()
    client.create_bucket(Bucket="fallback")
    body = bytes(range(256)) * 20_000
    client.put_object(Bucket="fallback", Key="k", Body=body)
    assert client.get_object(Bucket="fallback", Key="k")["Body"].read() == body
    assert f'"driver":"{driver}"' in program.get("/-/status")[1]
    assert f"driver={driver}" in program.lines("basalt starts")[0]
    program.stop()


def usual_driver():
    works = re.search(r"(?m)^OK +io_uring +works$", run("doctor").stdout)
    return "uring" if works else "threads"


def io_uring_refused():
    before = under(filters()[0])
    with scratch() as root:
        with Program(ANY_PORT, *pool(root, 3), before=before) as program:
            serves(program, "threads")
            said = program.lines("WARN", "io_uring is not used")
            assert len(said) == 1 and "Operation not permitted" in said[0], program.log
            assert len(program.lines("WARN", "epoll")) == 1, program.log
        with Program(ANY_PORT, "--driver=uring", *pool(root, 3, "e"), before=before) as program:
            assert program.ended() == 2 and "io_uring" in program.log, program.log
        assert not list(root.glob("e*"))


def threads_on_demand():
    with scratch() as root, Program(ANY_PORT, "--driver=threads", *pool(root, 3)) as program:
        serves(program, "threads")


def eight_mib_of_locked_memory():
    def before():
        # Without the capability the limit binds root too.
        LIBC.prctl(CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (8 << 20, 8 << 20))

    driver = usual_driver()
    with scratch() as root, Program(ANY_PORT, *pool(root, 3), before=before) as program:
        serves(program, driver)
        if driver == "uring":
            assert len(program.lines("WARN", "locked memory")) == 1, program.log


def no_direct_io():
    driver = usual_driver()
    with scratch() as root, Program(ANY_PORT, *pool(root, 3), before=under(filters()[1])) as program:
        serves(program, driver)
        for number in (1, 2, 3):
            said = program.lines("WARN", "page cache", f"{root}/d{number}")
            assert len(said) == 1, program.log


CHECKS = [io_uring_refused, threads_on_demand, eight_mib_of_locked_memory, no_direct_io]
