"""Mounts tools/powerloss, the file system that loses unflushed writes on command, and can make one
drive fail or stall; and runs a server on it.

The binary is POWERLOSS_BIN (default target/release/powerloss). Needs /dev/fuse, and root or
fusermount3.
"""

import os
import pathlib
import random
import subprocess
import sys
import time

from basalt import REPOSITORY, Server, _started, wait_for


def binary():
    path = pathlib.Path(os.environ.get("POWERLOSS_BIN", REPOSITORY / "target/release/powerloss"))
    if not path.exists():
        sys.exit(f"no {path}: run cargo build --release --locked -p powerloss")
    return str(path)


class Mount:
    """One file system, mounted and unmounted over and over on one backing directory."""

    def __init__(self, root, capacity_mib=16384):
        self.root = pathlib.Path(root)
        self.point = self.root / "mount"
        self.backing = self.root / "backing"
        self.point.mkdir(parents=True)
        self.backing.mkdir()
        self.arguments = ["--capacity-mib", str(capacity_mib)]
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
        # One read: the report is made anew for each, and two of them need not fit together.
        control = os.open(self.control, os.O_RDONLY)
        try:
            text = os.read(control, 65536).decode()
        finally:
            os.close(control)
        pairs = (line.split(" ", 1) for line in text.splitlines())
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


class Machine:
    """A server whose drives lie on a file system that can lose power, fail and stall."""

    def __init__(self, seed, drives=6, args=()):
        self.random = random.Random(seed)
        self.server = Server(drives=0, args=args)
        self.mount = Mount(self.server.root / "power")
        self.mount.mount(self.random.getrandbits(32))
        self.server.drives = [self.mount.point / f"d{n}" for n in range(1, drives + 1)]
        for drive in self.server.drives:
            drive.mkdir()
        self.mount.command("sync")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.heal(*range(len(self.server.drives)))
            self.server.kill()
        finally:
            self.mount.unmount()
            self.server.close()

    def inject(self, fault, *numbers):
        """`fail`: reads, writes and flushes answer EIO; `stall`: they do not answer."""
        for index in numbers:
            self.mount.command(f"{fault} {self.server.drives[index].name}")

    def heal(self, *numbers):
        """Also answers what stalled: until then the server cannot end."""
        if not self.mount.lost():
            self.inject("heal", *numbers)
