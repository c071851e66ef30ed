"""Loop devices over files of the tests, which need root."""

import contextlib
import os
import pathlib
import shutil
import subprocess

from runner import Skip

TOOL_SECONDS = 60


def _tool(*arguments):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=TOOL_SECONDS)


def _attach(image):
    made = _tool("losetup", "--find", "--show", str(image))
    if made.returncode != 0:
        raise Skip(f"losetup: {made.stderr.strip()}")
    return made.stdout.strip()


def _detach(device):
    done = _tool("losetup", "--detach", device)
    assert done.returncode == 0, done.stderr


def _forget_partitions(device):
    """Partitions named to the kernel by hand (addpart) outlive the file of a loop device: whoever
    had the device before may have left some."""
    left = [path.name for path in pathlib.Path("/sys/block", pathlib.Path(device).name).glob("loop*p*")]
    if left:
        done = _tool("partx", "--delete", device)
        assert done.returncode == 0, (left, done.stderr)


@contextlib.contextmanager
def loop_devices(root, sizes):
    """Block devices of these sizes in bytes, over new files below `root`: (device, file) each."""
    if os.geteuid() != 0 or not shutil.which("losetup"):
        raise Skip("loop devices need root and losetup")
    with contextlib.ExitStack() as detached:
        made = []
        for number, size in enumerate(sizes):
            image = pathlib.Path(root) / f"image{number}"
            with open(image, "wb") as file:
                file.truncate(size)
            device = _attach(image)
            detached.callback(_detach, device)
            _forget_partitions(device)
            made.append((device, image))
        yield made
