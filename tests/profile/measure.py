"""`basalt profile measure` on real directories with steps of a moment: the profile is valid and obeyed,
a run that was ended goes on, and nothing of somebody else's is touched.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from basalt import Server, binary, wait_for
from loops import loop_devices
from runner import Skip

USAGE, CONFLICT, PARTIAL = 2, 5, 7
SCRATCH = "basalt-measure.data"
SHORT = ["--quick", "--seconds-per-step=0.03", "--bytes=32MiB"]
MIB = 1 << 20
# /dev lies in memory: nothing is made there.
ABSENT_DEVICE = pathlib.Path("/dev/basalt-absent")


def environment():
    return {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "BASALT_"))}


def command(*arguments):
    return [binary(), "profile", *map(str, arguments)]


def ran(*arguments, code=0):
    done = subprocess.run(
        command(*arguments), env=environment(), timeout=120,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert "panicked" not in done.stderr, done.stderr
    if done.returncode != code and "no direct I/O" in done.stderr:
        raise Skip("the file system of the tests takes no direct I/O")
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


@contextlib.contextmanager
def scratch():
    base = os.environ.get("BASALT_TEST_DIR")
    path = pathlib.Path(tempfile.mkdtemp(prefix="basalt-measure-", dir=base))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def started(root, *arguments):
    """A measurement that runs, and what it has said so far."""
    log = root / "said"
    with open(log, "wb") as said:
        process = subprocess.Popen(
            command("measure", *arguments), env=environment(), stdin=subprocess.DEVNULL,
            stdout=said, stderr=said,
        )  # fmt: skip
    try:
        yield process, log.read_text
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)


def begun(process, said, step="read-depth"):
    """Waits for the figure of a step; the run must not be over by then."""
    wait_for(step, lambda: step in said() or process.poll() is not None, 120, 0.01)
    if "no direct I/O" in said():
        raise Skip("the file system of the tests takes no direct I/O")
    assert process.poll() is None, said()


def a_measured_profile_is_valid_and_obeyed():
    with Server(drives=2, args=["--drive-size=256MiB"]) as pool:
        file = pool.root / "lab.toml"
        _, said = ran("measure", *SHORT, "--out", file, *pool.drives)
        for drive in pool.drives:
            assert f"{drive}  all-write  " in said, said
            assert list(drive.iterdir()) == [], "the scratch file is gone"
        assert not pathlib.Path(f"{file}.partial").exists()
        text = file.read_text()
        for line in ('source = "measured"', 'method = "quick"', "read_queue_depth_knee = ",
                     "write_bytes_knee = ", "flush_latency_us_p99 = ", "mixed_iops = ",
                     "loaded_read_latency_us_p99 = ", "all_drives_read_bytes_per_sec = "):  # fmt: skip
            assert line in text, (line, text)
        assert "measured" in ran("show", file)[0]
        # Also where nobody names the drives: those without a device are known by their path.
        for named in (pool.drives, []):
            assert " 0 FAIL" in ran("check", file, *named)[0], named
        _, err = ran("measure", *SHORT, "--out", file, *pool.drives, code=CONFLICT)
        assert "--force" in err and file.read_text() == text, err
        pool.args = [*pool.args, "--profile", str(file)]
        pool.start()
        limits = [line for line in pool.log_text().splitlines() if "drive limits" in line]
        assert len(limits) == 2, pool.log_text()
        assert all("limits_from=measured" in line for line in limits), limits
        assert pool.stop() == 0, pool.log_text()


def a_killed_measurement_goes_on():
    with scratch() as root:
        drive, file = root / "d1", root / "lab.toml"
        drive.mkdir()
        partial = pathlib.Path(f"{file}.partial")
        arguments = ["--quick", "--seconds-per-step=0.1", "--bytes=32MiB", "--out", file, drive]
        with started(root, *arguments) as (process, said):
            begun(process, said)
            process.kill()
        assert (drive / SCRATCH).exists() and partial.exists() and not file.exists()
        found = json.loads(partial.read_text())
        assert "read-depth" in found["drives"][0]["found"], found
        # Of a run with other options nothing can be kept, and nothing is lost.
        before = partial.read_bytes()
        _, err = ran("measure", *SHORT, "--out", file, drive, code=USAGE)
        assert "lab.toml.partial" in err and "delete it" in err, err
        assert partial.read_bytes() == before
        with started(root, *arguments) as (process, said):
            begun(process, said, "write-sequential")
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == PARTIAL, said()
            assert "read-depth  kept" in said() and "goes on from there" in said(), said()
        assert not (drive / SCRATCH).exists() and partial.exists()
        _, err = ran("measure", *arguments)
        assert "read-depth  kept" in err and "write-sequential  kept" in err, err
        assert file.exists() and not partial.exists() and list(drive.iterdir()) == []


def what_is_there_is_not_overwritten():
    with scratch() as root:
        precious = root / SCRATCH
        precious.write_text("precious")
        for drive in (root, precious):
            _, err = ran("measure", *SHORT, drive, code=USAGE)
            assert "is there already" in err and precious.read_text() == "precious", err
        # It would be a file in memory.
        _, err = ran("measure", *SHORT, ABSENT_DEVICE, code=USAGE)
        assert "no such device" in err and not ABSENT_DEVICE.exists(), err
        file = root / "lab.toml"
        partial = pathlib.Path(f"{file}.partial")
        partial.write_text("nonsense")
        _, err = ran("measure", *SHORT, "--out", file, root / "new", code=USAGE)
        assert "damaged" in err and partial.read_text() == "nonsense", err
        assert not (root / "new").exists()


def digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def a_device_that_may_hold_data_is_refused_and_unchanged():
    with scratch() as root, loop_devices(root, [64 * MIB]) as [(device, _)]:
        device = pathlib.Path(device)

        def holds(offset, mark, word):
            with open(device, "r+b") as opened:
                opened.seek(offset)
                opened.write(mark)
                os.fsync(opened.fileno())
            before = digest(device)
            _, err = ran("measure", *SHORT, "--destroy", device, code=USAGE)
            assert word in err and digest(device) == before, err
            with open(device, "r+b") as opened:
                opened.seek(offset)
                opened.write(bytes(len(mark)))
                os.fsync(opened.fileno())

        holds(0, b"XFSB", "XFS")
        holds(64 * MIB - 4096, b"somebody", "not empty")
        # Where a partition began whose table is gone.
        holds(MIB, b"XFSB", "not empty")
        before = digest(device)
        _, err = ran("measure", *SHORT, device, code=USAGE)
        assert "--destroy" in err and digest(device) == before, err


def a_device_that_may_be_destroyed_is_measured():
    with scratch() as root, loop_devices(root, [64 * MIB]) as [(device, _)]:
        file = root / "lab.toml"
        _, said = ran("measure", *SHORT, "--destroy", "--out", file, device)
        assert f"{device}  write-sequential  " in said, said
        text = file.read_text()
        assert "read_queue_depth_knee = " in text and f'"{device}"' not in text, text
        assert " 0 FAIL" in ran("check", file, device)[0]


CHECKS = [
    a_measured_profile_is_valid_and_obeyed, a_killed_measurement_goes_on,
    what_is_there_is_not_overwritten, a_device_that_may_hold_data_is_refused_and_unchanged,
    a_device_that_may_be_destroyed_is_measured,
]  # fmt: skip
