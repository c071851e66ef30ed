#!/usr/bin/env python3
"""Power losses of the real server: it runs on tools/powerloss, which drops what was not flushed.

    BASALT_LOSSES=50 tests/powerloss/run.py [--seed N] [--drivers uring,threads] [--prove]

Half of the losses come at a random moment, half at a random write or flush, some while the server
formats or recovers. --prove loses power under loads whose flushes lie: the check must then find
losses, in nearly every one.
"""

import argparse
import collections
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from basalt import watchdog  # noqa: E402
from life import DEBUG, Aim, Life, landed  # noqa: E402
from load import Load  # noqa: E402
from powerloss import Machine  # noqa: E402
from runner import number  # noqa: E402

LIMITS = pathlib.Path(__file__).resolve().parents[1] / "kill" / "limits.toml"
# Writes and flushes of the first second of a load, and for each drive of a format and a recovery.
OPERATIONS, FORMAT_OPERATIONS, RECOVERY_OPERATIONS = 3000, 20, 6
# The longest that is left to a load, and to work that was aimed at and in how many operations.
LOAD_TIME_S, WORK_TIME_S, WORK_OPERATIONS = 2.5, 0.1, 60
# Losses of --prove, each of a new server, and how many of them must be found out.
LIES, LIES_FOUND_MIN = 10, 9
# A server that can be ready after a lie is so by then; most never are, and say why.
LIED_READY_S = 15


class Bench(Machine):
    """The machine, and what its power losses did."""

    def __init__(self, driver, seed, drives, args):
        args = ["--driver", driver, "--config", str(LIMITS), *DEBUG, *args]
        super().__init__(seed, drives, args)
        self.kept, self.dropped, self.names = 0, 0, 0
        self.total, self.by_phase, self.recovery_s = 0, collections.Counter(), []
        self.aim = Aim(self.random, self.by_phase)
        self.life = None

    def lost(self, phases):
        """After a loss: the server goes, what survived comes back."""
        report = self.mount.report()
        assert report["state"] == "lost", report
        self.kept += report["kept_sectors"]
        self.dropped += report["dropped_sectors"]
        self.names += report["dropped_names"]
        self.total += 1
        self.by_phase.update(phases)
        self.server.kill()
        self.mount.unmount()
        self.mount.mount(self.random.getrandbits(32))

    def while_starting(self, phase, operations):
        """Power goes at a random one of the first writes and flushes; or soon after the start."""
        self.mount.command(f"after {self.random.randint(1, operations)}")
        life = Life(self.server)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not self.mount.lost():
            if not self.server.alive() or self.server.get("/-/health/ready", 1)[0] == 200:
                break
            time.sleep(0.02)
        if not self.mount.lost():
            self.mount.command("lose")
        life.read()
        self.lost(["just started" if life.serves else phase])
        return life.serves

    def under_load(self, load):
        load.expect_5xx = True
        load.start()
        if self.random.random() < 0.3:
            self.mount.command(f"after {self.random.randint(1, OPERATIONS)}")
            where, works = "at an operation", self._lose_within(LOAD_TIME_S)
        elif self.aim.shoot(
            self.life, load, 0, "write", self.mount.control,
            f"after {self.random.randint(1, WORK_OPERATIONS)}",
        ):  # fmt: skip
            where, works = "at an operation of work", self._lose_within(WORK_TIME_S)
        else:
            where, works = "at a moment", self._lose_within(0)
        load.stopping.wait(0.2)
        load.stopping.set()
        self.server.kill()
        load.stop()
        self.lost([where, *works])
        load.expect_5xx = False

    def _lose_within(self, seconds):
        """Answers the work that was under way: what fails with the power ends at once."""
        deadline = time.monotonic() + seconds
        works = self.life.read()
        while not self.mount.lost():
            if time.monotonic() > deadline:
                self.mount.command("lose")
                break
            works = self.life.read()
        return works

    def recover(self, timeout_s=60):
        begin = time.monotonic()
        self.life = Life(self.server)
        self.server.wait_ready(timeout_s)
        self.recovery_s.append(time.monotonic() - begin)

    def report(self, driver, load):
        times = sorted(self.recovery_s) or [0]
        print(f"{driver}: {self.total} losses landed: {landed(self.by_phase)}")
        print(
            f"  {self.dropped} sectors and {self.names} names dropped, {self.kept} unflushed "
            f"sectors kept; recovery: median {times[len(times) // 2]:.2f} s, longest "
            f"{times[-1]:.2f} s, of {len(times)}"
        )
        print(load.summary(), flush=True)


def lose(driver, losses, seed, drives=6, args=("--drive-size", "128MiB")):
    """Answers the violations found."""
    print(f"{driver}: seed {seed}, {drives} drives", flush=True)
    with Bench(driver, seed, drives, args) as bench:
        operations = FORMAT_OPERATIONS * drives
        while bench.total < max(1, losses // 10) and not bench.while_starting(
            "first format", operations
        ):
            pass
        load = Load(bench.server, "power", seed=seed)
        try:
            bench.recover()
            bench.server.client().create_bucket(Bucket="power")
            while bench.total < losses and not load.violations:
                bench.under_load(load)
                while bench.total < losses and bench.random.random() < 0.25:
                    bench.while_starting("recovery", RECOVERY_OPERATIONS * drives)
                bench.recover()
                load.check()
        except (RuntimeError, TimeoutError) as error:
            load.violate(f"no recovery: {error}")
        found = load.violations + bench.server.panics()
        bench.report(driver, load)
        if found:
            print(bench.server.log_tail())
        return found


def prove(driver, seed, drives=6, args=("--drive-size", "128MiB")):
    """One loss under a load that begins with the lies; answers what the check found."""
    with Bench(driver, seed, drives, args) as bench:
        load = Load(bench.server, "power", seed=seed)
        bench.recover()
        bench.server.client().create_bucket(Bucket="power")
        bench.mount.command("lie")
        bench.under_load(load)
        try:
            bench.recover(LIED_READY_S)
            load.check()
        except (RuntimeError, TimeoutError):
            lines = bench.server.log_tail().splitlines()
            return [line.split(" ", 1)[1] for line in lines if "drive is missing" in line]
        return load.violations


def prove_all(seed):
    caught = 0
    for lie in range(LIES):
        driver = ("uring", "threads")[lie % 2]
        found = prove(driver, seed + lie)
        caught += bool(found)
        first = found[0] if found else "nothing"
        print(f"  {driver}, seed {seed + lie}: {len(found)} found, first: {first[:240]}")
    print(f"powerloss --prove: {caught} of {LIES} losses on lying flushes were found out")
    return caught >= LIES_FOUND_MIN


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--losses", type=int, default=number("BASALT_LOSSES", 50))
    parser.add_argument("--seed", type=int, default=number("BASALT_SEED", 1))
    parser.add_argument("--drivers", default="uring,threads")
    parser.add_argument("--prove", action="store_true", help="on lying flushes: must find losses")
    options = parser.parse_args()
    watchdog(600 + options.losses * 60)
    if options.prove:
        sys.exit(0 if prove_all(options.seed) else 1)
    found = []
    drivers = options.drivers.split(",")
    for driver in drivers:
        found += lose(driver, -(-options.losses // len(drivers)), options.seed)
    for line in found[:30]:
        print(f"VIOLATION {line}")
    print(f"powerloss: {options.losses} losses, {len(found)} violations")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
