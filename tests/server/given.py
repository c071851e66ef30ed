"""Drives as they are given: counts, patterns, and every refusal, which writes nothing."""

import os
import pathlib
import shutil
import struct

from program import (
    ANY_PORT, SMALL, Program, format_pool, pool, refused, run, scratch, snapshot,
)  # fmt: skip
from basalt import wait_for
from loops import loop_devices

# Drives of the pool: sets, data and parity, by AIStor's table.
TABLE = {1: "1 1+0", 2: "1 1+1", 3: "1 2+1", 4: "1 2+2", 5: "1 3+2", 6: "1 3+3", 7: "1 4+3",
         8: "1 4+4", 12: "1 8+4", 16: "1 12+4", 18: "2 5+4", 24: "2 8+4"}  # fmt: skip


def counts_have_their_sets_and_parity():
    for count, expected in TABLE.items():
        sets, coding = expected.split()
        with scratch() as root, Program(ANY_PORT, *pool(root, count)) as program:
            line = program.serving().lines("serving")[0]
            assert f"sets={sets} " in line and f"ec={coding} " in line, (count, line)
            program.stop()


def counts_without_a_set_size_name_those_with_one():
    with scratch() as root:
        for count, near in ((17, "16 and 18"), (19, "18 and 20"), (31, "30 and 32")):
            refused(root, pool(root, count), f"{count} drives", near)
        refused(root, [SMALL], "no drives")
        refused(root, ["--parity=3", *pool(root, 4)], "parity 3", "set of 4")
        refused(root, ["--set-size=3", *pool(root, 4)], "4 drives", "sets of 3", "2, 4")


def patterns_expand_in_order():
    with scratch() as root, Program(ANY_PORT, SMALL, "a{1...2}x{3...4}", cwd=root) as program:
        program.serving().stop()
        made = sorted(path.name for path in root.iterdir())
        assert made == ["a1x3", "a1x4", "a2x3", "a2x4"], made
        for broken in ("d{1..3}", "d{3...1}", "d{1...3", "d{a...c}"):
            refused(root, [SMALL, broken], broken)


def directories_of_others_are_refused():
    with scratch() as root:
        for name, marker in (("MinIO", ".minio.sys"), ("RustFS", ".rustfs.sys")):
            (root / name / "d2" / marker).mkdir(parents=True)
            refused(root, pool(root / name, 4), name, marker, "d2")
        (root / "mine").mkdir()
        (root / "mine" / "thesis.txt").write_text("years")
        refused(root, [SMALL, root / "d1", root / "mine"], "not empty", "thesis.txt")
        refused(root, [SMALL, root / "d1", "/dev/null"], "/dev/null", "character device")
        refused(root, [SMALL, "http://host/d{1...4}"], "URL")
        refused(root, pool(root / "no" / "such", 4), "d1")


def a_drive_twice_is_refused():
    with scratch() as root:
        for number in (1, 2):
            (root / f"d{number}").mkdir()
        (root / "link").symlink_to(root / "d1")
        for other, word in (("d1", "twice"), ("link", "same drive"), ("d2/../d1", "same drive")):
            refused(root, [SMALL, root / "d1", root / "d2", root / other], "d1", word)
        refused(root, [SMALL, root / "d1", root / "d1" / "in"], "inside")


def small_drives_are_refused():
    with scratch() as root:
        refused(root, ["--drive-size=64MiB", *pool(root, 4)[1:]], "too small")


def files_with_something_in_them_are_refused():
    with scratch() as root:
        for number in (1, 2, 3, 4):
            with open(root / f"f{number}", "wb") as file:
                file.truncate(16 << 20)
        files = [SMALL, f"{root}/f{{1...4}}"]
        for place, data, word in ((0, b"LUKS\xba\xbe", "LUKS"), (1080, b"\x53\xef", "ext file system"),
                                  (510, b"\x55\xaa", "MBR"), (5000, b"x", "first and last MiB"),
                                  ((16 << 20) - 1, b"x", "first and last MiB")):  # fmt: skip
            with open(root / "f3", "r+b") as file:
                file.seek(place)
                file.write(data)
            refused(root, files, "f3", word)
            with open(root / "f3", "r+b") as file:
                file.seek(place)
                file.write(bytes(len(data)))


def file_drives_serve_and_are_private():
    with scratch() as root:
        for number in (1, 2, 3):
            (root / f"f{number}").touch(0o644)
        with Program(ANY_PORT, SMALL, f"{root}/f{{1...3}}") as program:
            program.serving().client().create_bucket(Bucket="files")
            program.stop()
        modes = {oct(path.stat().st_mode & 0o777) for path in root.iterdir()}
        assert modes == {"0o600"}, modes
        assert all(path.stat().st_size <= 256 << 20 for path in root.iterdir())


def drives_of_another_deployment_are_refused():
    with scratch() as root:
        format_pool(root, 4, "a")
        format_pool(root, 4, "b")
        a = [f"{root}/a{number}" for number in (1, 2, 3, 4)]
        refused(root, [SMALL, *a[:3], root / "b4"], "b4", "deployment")
        refused(root, pool(root, 3, "a"), "3 drives", "has 4")
        refused(root, [*pool(root, 4, "a"), root / "c1"], "5 drives", "has 4")
        refused(root, ["--parity=1", *pool(root, 4, "a")], "parity 1", "with 2")
        shutil.copytree(root / "a1", root / "copy")
        refused(root, [SMALL, *a[:3], root / "copy"], "copy", "same drive")


def a_second_process_is_refused():
    with scratch() as root:
        with Program(ANY_PORT, *pool(root, 4)) as first:
            first.serving()
            with scratch() as other:
                drives = [root / "d4", *(other / f"e{number}" for number in (1, 2, 3))]
                refused(other, [SMALL, *drives], "d4", "another process")
            assert first.get("/-/health/ready")[0] == 200
            first.stop()


def a_second_server_on_an_address_is_refused():
    with scratch() as root, Program(ANY_PORT, *pool(root, 4)) as first:
        address = first.addresses()[0]
        with Program(f"--address={address}", *pool(root, 4, "e")) as second:
            assert second.ended() == 1, second.log
            assert f"cannot listen on {address}" in second.log, second.log
        assert not list(root.glob("e*")), "drives were made"
        first.stop()


def crc64nvme(data):
    crc = (1 << 64) - 1
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x9A6C9329AC4BC9B5 if crc & 1 else 0)
    return crc ^ ((1 << 64) - 1)


def a_newer_format_is_refused():
    with scratch() as root:
        format_pool(root, 4)
        with open(root / "d2" / "basalt-000000.data", "r+b") as file:
            found = 0
            for place in range(0, 4 << 20, 1 << 20):
                file.seek(place)
                block = bytearray(file.read(4096))
                if block[:8] != b"BASALTSB":
                    continue
                assert struct.unpack("<Q", block[4088:])[0] == crc64nvme(block[:4088])
                block[8:12] = struct.pack("<I", 9)
                block[4088:] = struct.pack("<Q", crc64nvme(block[:4088]))
                file.seek(place)
                file.write(block)
                found += 1
        assert found >= 2, f"{found} copies of the superblock"
        refused(root, pool(root, 4), "d2", "version 9", "up to 1")


def devices_serve_and_are_refused_like_files():
    with scratch() as root, loop_devices(root, [256 << 20] * 3 + [32 << 20]) as made:
        *devices, small = [device for device, _ in made]
        refused(root, [*devices, small], small, "too small")
        # /dev lies in memory: a drive would be gone at the next start of the machine.
        absent = pathlib.Path("/dev/basalt-absent")
        refused(root, [*devices[:2], absent], absent, "needs all of its drives")
        assert not absent.exists()
        with Program(ANY_PORT, *devices) as program:
            program.serving().client().create_bucket(Bucket="devices")
            with scratch() as other:
                refused(other, devices, devices[0], "in use")
            program.stop()
        with Program(ANY_PORT, *devices) as program:
            assert program.client().list_buckets()["Buckets"][0]["Name"] == "devices"
            program.stop()
        with open(devices[1], "r+b") as device:
            # All copies of the superblock: with two of them it would still be the drive it was.
            device.write(bytes(8 << 20))
            device.seek(512)
            device.write(b"EFI PART")
        refused(root, devices, devices[1], "GPT")


def a_device_that_was_gone_at_the_start_comes_back():
    """Its node is a link here, so that it can go."""
    link = pathlib.Path(f"/dev/basalt-test-{os.getpid()}")
    with scratch() as root, loop_devices(root, [256 << 20] * 3) as made:
        devices = [device for device, _ in made]
        try:
            link.symlink_to(devices[2])
            drives = ["--parity", "1", *devices[:2], link]
            with Program(ANY_PORT, *drives) as program:
                program.serving().client().create_bucket(Bucket="devices")
                program.stop()
            link.unlink()
            with Program(ANY_PORT, *drives) as program:
                program.serving().client().put_object(Bucket="devices", Key="k", Body=b"v" * 99999)
                assert program.lines("ERROR", str(link)) and not os.path.lexists(link), program.log
                link.symlink_to(devices[2])

                def is_back():
                    told = program.lines("INFO", "drive state")
                    return [line for line in told if str(link) in line and "state=in-sync" in line]

                wait_for("the drive is in sync again", is_back, 60)
                program.stop()
        finally:
            link.unlink(missing_ok=True)


def several_directories_on_one_file_system_draw_a_warning():
    with scratch() as root, Program(ANY_PORT, *pool(root, 4)) as program:
        warned = program.serving().lines("WARN", "one file system")
        assert len(warned) == 1 and f"{root}/d4" in warned[0], program.log
        program.stop()


def limits_of_drives_hold():
    """The default is the drive's share of the file system less 10 %."""
    with scratch() as root, Program(ANY_PORT, f"{root}/d{{1...4}}") as program:
        program.serving()

        def limits():
            lines = program.get("/-/metrics")[1].splitlines()
            found = [line for line in lines if line.startswith("basalt_drive_capacity_bytes{")]
            values = [float(line.split()[-1]) for line in found]
            return len(values) == 4 and all(values) and values

        limits = wait_for("the limits are told", limits, 10)
        room = os.statvfs(root)
        share = room.f_blocks * room.f_frsize / 4 * 0.9
        assert all(0.95 * share <= limit <= share for limit in limits), (limits, share)
        program.stop()


def doctor_says_what_the_server_would():
    with scratch() as root:
        (root / "d2" / ".minio.sys").mkdir(parents=True)
        before = snapshot(root)
        answer = run("doctor", root / "d1", root / "d2")
        assert answer.returncode == 8 and "MinIO" in answer.stdout, answer
        for word in ("kernel", "io_uring", "locked memory", "open files", "CPU", "to do: "):
            assert word in answer.stdout, word
        answer = run("doctor", root / "d1")
        assert answer.returncode == 0 and "direct I/O" in answer.stdout, answer
        assert snapshot(root) == before


CHECKS = [
    counts_have_their_sets_and_parity, counts_without_a_set_size_name_those_with_one,
    patterns_expand_in_order, directories_of_others_are_refused, a_drive_twice_is_refused,
    small_drives_are_refused, files_with_something_in_them_are_refused,
    file_drives_serve_and_are_private, drives_of_another_deployment_are_refused,
    a_second_process_is_refused, a_second_server_on_an_address_is_refused,
    a_newer_format_is_refused, devices_serve_and_are_refused_like_files,
    a_device_that_was_gone_at_the_start_comes_back,
    several_directories_on_one_file_system_draw_a_warning, limits_of_drives_hold,
    doctor_says_what_the_server_would,
]  # fmt: skip
