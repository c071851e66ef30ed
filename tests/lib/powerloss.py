"""Mounts tools/powerloss, the file system that loses unflushed writes on command.

The binary is POWERLOSS_BIN (default target/release/powerloss). Needs /dev/fuse, and root or
fusermount3.
"""

import os
import pathlib
import subprocess
import sys
import time

from basalt import REPOSITORY, _started, wait_for


def binary():
    path = pathlib.Path(os.environ.get("POWERLOSS_BIN", REPOSITORY / "target/release/powerloss"))
    if not path.exists():
        sys.exit(f"no {path}: run cargo build --release --locked -p powerloss")
    return str(path)


class Mount:
    """One file system, mounted and unmounted over and over on one backing directory."""

    def __init__(self, root, capacity_mib=16384, lie=False):
        self.root = pathlib.Path(root)
        self.point = self.root / "mount"
        self.backing = self.root / "backing"
        self.point.mkdir(parents=True)
        self.backing.mkdir()
        self.arguments = ["--capacity-mib", str(capacity_mib)] + (["--lie"] if lie else [])
        self.process = None

    @property
    def control(self):
        return self.point / ".powerloss"

    def mount(self, seed):
        command = [binary(), "--backing", str(self.backing), "--seed", str(seed)]
        command += [*self.arguments, str(self.point)]
        with open(self.root / "powerloss.log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        _started.append(self.process)

        def mounted():
            if self.process.poll() is not None:
                log = (self.root / "powerloss.log").read_text(errors="replace")
                raise RuntimeError(f"powerloss ended with {self.process.returncode}:\n{log[-2000:]}")
            return self.control.exists()

        wait_for("powerloss is mounted", mounted, 20)

    def command(self, line):
        with open(self.control, "w") as control:
            control.write(line)

    def report(self):
        pairs = (line.split(" ", 1) for line in self.control.read_text().splitlines())
        return {name: int(value) if value.isdigit() else value for name, value in pairs}

    def lost(self):
        return self.report()["state"] == "lost"

    def unmount(self):
        """Unmounts, whoever still closes files, and waits for the end of the process."""
        if self.process is None or self.process.poll() is not None:
            return
        command = ["umount"] if os.geteuid() == 0 else ["fusermount3", "-u"]
        deadline = time.monotonic() + 30
        while True:
            done = subprocess.run(
                [*command, str(self.point)], capture_output=True, text=True, timeout=30
            )
            if done.returncode == 0:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"unmount: {done.stderr}")
            time.sleep(0.1)
        self.process.wait(30)
