#!/usr/bin/env python3
"""SIGKILLs of the real server at random moments under a checked load.

    BASALT_KILLS=50 tests/kill/run.py [--seed N] [--drives N] [--args '--shards 4']

How a kill is counted: the server runs with --log-level debug and limits.toml. A life without the
line 'serving' was killed in the first format or in recovery; later, the lines 'background work
begins' without their 'ends' name what the kill landed in: flush, compaction, cleaning, growth (or
several of them, on several drives). Half of the kills under load come at any random moment, half a
random moment after the work that was hit least so far has begun somewhere. A run of 50 kills goes
on while it misses one of the six, and fails if it still does after 100. After each recovery every
key's history is judged (lib/load.py).
"""

import argparse
import collections
import pathlib
import random
import shlex
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

from basalt import Server, watchdog  # noqa: E402
from life import DEBUG, PHASES, Aim, Life, landed  # noqa: E402
from load import Load  # noqa: E402
from runner import number  # noqa: E402

# A run with so many kills must have hit all of them.
ENOUGH_KILLS = 50
# The longest that is left to work that was aimed at.
WORK_TIME_S = 0.02


class Kills:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.by_phase = collections.Counter()
        self.aim = Aim(self.random, self.by_phase)
        self.total = 0
        self.recovery_s = []

    def missed(self):
        """What no kill has landed in yet."""
        return [phase for phase in PHASES if not self.by_phase[phase]]

    def goes_on(self, wanted):
        """Whether there are not enough kills yet; a slow machine does little in each life."""
        if self.total < wanted:
            return True
        return wanted >= ENOUGH_KILLS and self.total < 2 * wanted and bool(self.missed())

    def while_starting(self, server, phase, takes_s):
        """Kills a start after a random part of the time it takes; whether it was in the phase."""
        life = Life(server)
        time.sleep(self.random.random() * takes_s)
        server.kill()
        life.read()
        if life.serves:
            # Too late, and with nothing to do: not one of the kills that were asked for.
            self.by_phase["just started"] += 1
        else:
            self.total += 1
            self.by_phase[phase] += 1
        return not life.serves

    def first_format(self, make, count):
        """Kills first formats, some of them again while they are resumed."""
        with make() as trial:
            takes_s = trial.start()
        while count > 0 and takes_s > 0.001:
            with make() as server:
                if not self.while_starting(server, "first format", takes_s):
                    takes_s *= 0.8
                    continue
                count -= 1
                if self.random.random() < 0.5:
                    self.while_starting(server, "first format", takes_s)
                self.recovery_s.append(server.start())
                client = server.client()
                client.create_bucket(Bucket="first")
                client.put_object(Bucket="first", Key="key", Body=b"value")
                assert server.stop() == 0
                assert not server.panics(), server.panics()[:3]

    def under_load(self, life, load):
        load.start()
        delay_s = self.random.random() ** 2 * WORK_TIME_S
        self.aim.shoot(life, load, delay_s, "kill", life.server.process.pid)
        life.server.kill()
        load.stop()
        self.total += 1
        self.by_phase.update(life.read() or {"no background work"})

    def recover(self, server):
        begin = time.monotonic()
        life = Life(server)
        server.wait_ready()
        self.recovery_s.append(time.monotonic() - begin)
        return life


def run(options):
    args = ["--config", str(HERE / "limits.toml"), "--drive-size", options.drive_size, *DEBUG]
    args += shlex.split(options.args)

    def make():
        return Server(drives=options.drives, args=args)

    kills = Kills(options.seed)
    kills.first_format(make, max(1, options.kills // 20))
    with make() as server:
        life = kills.recover(server)
        server.client().create_bucket(Bucket="kill")
        load = Load(server, "kill", seed=options.seed)
        while kills.goes_on(options.kills) and not load.violations:
            kills.under_load(life, load)
            while kills.total < options.kills and kills.random.random() < 0.25:
                kills.while_starting(server, "recovery", max(kills.recovery_s[-5:]))
            life = kills.recover(server)
            load.check()
        load.run(1)
        load.check()
        code = server.stop()
        if code != 0:
            load.violate(f"SIGTERM ended the server with {code}")
        server.start()
        load.check()
        found = load.violations + [f"the log says: {line}" for line in server.panics()[:5]]
        missed = kills.missed()
        if missed and options.kills >= ENOUGH_KILLS and not found:
            found.append(f"no kill landed in {', '.join(missed)}")
        report(kills, load, found)
        return found


def report(kills, load, found):
    print(f"{kills.total} kills landed: {landed(kills.by_phase)}")
    times = sorted(kills.recovery_s)
    middle = times[len(times) // 2]
    print(f"recovery: median {middle:.2f} s, longest {times[-1]:.2f} s, of {len(times)}")
    print(load.summary())
    for line in found[:20]:
        print(f"VIOLATION {line}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=number("BASALT_KILLS", 50))
    parser.add_argument("--seed", type=int, default=number("BASALT_SEED", 1))
    parser.add_argument("--drives", type=int, default=number("BASALT_TEST_DRIVES", 6))
    parser.add_argument("--drive-size", default="128MiB", help="small, so that cleaning begins soon")
    parser.add_argument("--args", default="", help="more arguments of the server")
    options = parser.parse_args()
    watchdog(120 + options.kills * 40)
    print(f"seed {options.seed}, {options.drives} drives", flush=True)
    found = run(options)
    print(f"kill: {options.kills} kills, {len(found)} violations")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
