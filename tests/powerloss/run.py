#!/usr/bin/env python3
"""Power losses of the real server: it runs on tools/powerloss, which drops what was not flushed.

    BASALT_LOSSES=50 tests/powerloss/run.py [--seed N] [--drivers uring,threads] [--prove]

Half of the losses come at a random moment, half at a random write or flush, some while the server
formats or recovers. --prove runs on flushes that lie: the check must then find losses.
Afterwards, on the same file system, two drives answer EIO and two stall for 30 s under load.
"""

import argparse
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from basalt import STATE_IN_SYNC, Server, wait_for, watchdog  # noqa: E402
from load import Load  # noqa: E402
from payload import KIB  # noqa: E402
from powerloss import Mount  # noqa: E402
from runner import number  # noqa: E402

DRIVERS = {"uring": ["--driver", "uring"], "threads": ["--driver", "threads"]}
LIMITS = pathlib.Path(__file__).resolve().parents[1] / "kill" / "limits.toml"
SIZES = [0, 1, 4 * KIB, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 100 * KIB, 1024 * KIB]
# Writes and flushes of the first second of a load are about this many.
OPERATIONS = 3000


class Bench:
    """A server on a file system that can lose power."""

    def __init__(self, driver, seed, lie=False):
        self.random = random.Random(seed)
        args = DRIVERS[driver] + (["--config", str(LIMITS)] if LIMITS.exists() else [])
        self.server = Server(drives=0, args=args)
        self.mount = Mount(self.server.root / "power", lie=lie)
        self.mount.mount(self.random.getrandbits(32))
        self.server.drives = [self.mount.point / f"d{n}" for n in range(1, 7)]
        for drive in self.server.drives:
            drive.mkdir()
        self.mount.command("sync")
        self.kept, self.dropped, self.names = 0, 0, 0
        self.phases, self.recovery_s = {}, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.server.kill()
        finally:
            self.mount.unmount()
            self.server.close()

    def remount(self, phase):
        """After a loss: the server goes, what survived comes back."""
        report = self.mount.report()
        assert report["state"] == "lost", report
        self.kept += report["kept_sectors"]
        self.dropped += report["dropped_sectors"]
        self.names += report["dropped_names"]
        self.phases[phase] = self.phases.get(phase, 0) + 1
        self.server.kill()
        self.mount.unmount()
        self.mount.mount(self.random.getrandbits(32))

    def while_starting(self, phase, operations):
        self.mount.command(f"after {self.random.randint(1, operations)}")
        self.server.spawn()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not self.mount.lost():
            if not self.server.alive() or self.server.get("/-/health/ready", 1)[0] == 200:
                break
            time.sleep(0.02)
        if not self.mount.lost():
            self.mount.command("lose")
        self.remount(phase)

    def under_load(self, load):
        load.expect_5xx = True
        if self.random.random() < 0.5:
            self.mount.command(f"after {self.random.randint(1, OPERATIONS)}")
            phase = "at an operation"
        else:
            phase = "at a moment"
        load.start()
        load.stopping.wait(self.random.uniform(0.2, 2.5))
        if not self.mount.lost():
            self.mount.command("lose")
        load.stopping.wait(0.2)
        load.stopping.set()
        self.server.kill()
        load.stop()
        self.remount(phase)
        load.expect_5xx = False

    def recover(self):
        self.recovery_s.append(self.server.start())

    def report(self, driver, load):
        phases = ", ".join(f"{count} {phase}" for phase, count in sorted(self.phases.items()))
        times = sorted(self.recovery_s) or [0]
        print(f"{driver}: {sum(self.phases.values())} losses ({phases}); {self.dropped} sectors and")
        print(f"  {self.names} names dropped, {self.kept} unflushed sectors kept; recovery median")
        print(f"  {times[len(times) // 2]:.2f} s, longest {times[-1]:.2f} s")
        print(load.summary())


def lose(driver, losses, seed, lie=False):
    """Answers the violations found."""
    with Bench(driver, seed, lie) as bench:
        for _ in range(max(1, losses // 10)):
            bench.while_starting("first format", 400)
        bench.server.start()
        bench.server.client().create_bucket(Bucket="power")
        load = Load(bench.server, "power", seed=seed, sizes=SIZES)
        while sum(bench.phases.values()) < losses and not load.violations:
            bench.under_load(load)
            if sum(bench.phases.values()) < losses and bench.random.random() < 0.25:
                bench.while_starting("recovery", 100)
            try:
                bench.recover()
            except (RuntimeError, TimeoutError) as error:
                load.violate(f"no recovery: {error}")
                break
            load.check()
        found = load.violations + bench.server.panics()
        bench.report(driver, load)
        if found and not lie:
            print(bench.server.log_tail())
        return found


def faults(driver, fault, seconds, seed):
    """Two drives fail or stall under load; answers the violations found."""
    with Bench(driver, seed) as bench:
        server = bench.server
        server.start()
        server.client().create_bucket(Bucket="power")
        load = Load(server, "power", seed=seed, sizes=SIZES)
        load.run(2)
        load.expect_5xx = True
        load.start()
        pair = {"d2", "d5"}
        for drive in sorted(pair):
            bench.mount.command(f"{fault} {drive}")
        gone = {str(bench.mount.point / drive) for drive in pair}
        try:
            wait_for(
                "the view without both drives",
                lambda: all(server.drive_states().get(path) != STATE_IN_SYNC for path in gone),
                30,
            )
            load.stopping.wait(seconds)
        finally:
            # Held requests must be answered before the server can end.
            load.stop()
            for drive in sorted(pair):
                bench.mount.command(f"heal {drive}")
        load.expect_5xx = False
        load.check(settle=False)
        load.run(2)
        code = server.stop()
        if code != 0:
            load.violate(f"SIGTERM ended the server with {code}")
        server.start()
        server.wait_in_sync()
        load.check()
        server.stop()
        for drive in ("d1", "d3"):
            path = bench.mount.point / drive
            path.rename(path.with_name(drive + ".away"))
        server.start()
        load.check()
        print(f"{driver}: {fault}: {load.summary()}")
        return load.violations + server.panics()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--losses", type=int, default=number("BASALT_LOSSES", 50))
    parser.add_argument("--seed", type=int, default=number("BASALT_SEED", 1))
    parser.add_argument("--drivers", default="uring,threads")
    parser.add_argument("--prove", action="store_true", help="on lying flushes: must find losses")
    options = parser.parse_args()
    watchdog(600 + options.losses * 60)
    if options.prove:
        found = lose("threads", 10, options.seed, lie=True)
        print(f"powerloss --prove: {len(found)} violations on lying flushes")
        sys.exit(0 if found else 1)
    found = []
    drivers = options.drivers.split(",")
    for driver in drivers:
        found += lose(driver, -(-options.losses // len(drivers)), options.seed)
        found += faults(driver, "fail", 3, options.seed)
        found += faults(driver, "stall", 30, options.seed)
    for line in found[:30]:
        print(f"VIOLATION {line}")
    print(f"powerloss: {options.losses} losses, {len(found)} violations")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
