#!/usr/bin/env python3
"""SIGKILLs of the real server at random moments under a checked load.

    BASALT_KILLS=50 tests/kill/run.py [--seed N] [--drives N]

A kill lands in the first format, in recovery, or under load; where the metrics name the background
work of that moment (gauge basalt_background_active{kind=...}), kills are counted by it too.
BASALT_KILL_CONFIG names a configuration file with lowered limits (default: limits.toml beside
this script), so that flush, compaction, cleaning and growth happen within seconds.
"""

import argparse
import os
import pathlib
import random
import re
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

from basalt import Server, watchdog  # noqa: E402
from load import Load  # noqa: E402
from runner import number  # noqa: E402


class Sampler:
    """Keeps the newest sample of the background work under way."""

    def __init__(self, server):
        self.server = server
        self.active = None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._poll, daemon=True)
        self.thread.start()

    def _poll(self):
        while not self.ended.wait(0.02):
            found = self.server.metric(r"^basalt_background_active\{")
            if found:
                kinds = {re.search(r'kind="([^"]+)"', name).group(1): v for name, v in found.items()}
                self.active = sorted(kind for kind, value in kinds.items() if value > 0)

    def end(self):
        self.ended.set()
        self.thread.join(5)
        return self.active


class Kills:
    def __init__(self, server, seed):
        self.server = server
        self.random = random.Random(seed)
        self.by_phase = {}
        self.recovery_s = []

    def count(self, phase):
        self.by_phase[phase] = self.by_phase.get(phase, 0) + 1

    @property
    def total(self):
        return sum(n for phase, n in self.by_phase.items() if not phase.startswith("during "))

    def while_starting(self, phase, within_s):
        """Kills a start after a random part of the time it takes."""
        self.server.spawn()
        time.sleep(self.random.random() * within_s)
        ready = self.server.get("/-/health/ready", timeout_s=1)[0] == 200
        self.server.kill()
        self.count("just started" if ready else phase)

    def under_load(self, load):
        sampler = Sampler(self.server)
        load.start()
        load.stopping.wait(self.random.uniform(0.1, 2.5))
        active = sampler.active
        self.server.kill()
        sampler.end()
        load.stop()
        self.count("load")
        for kind in active or []:
            self.count(f"during {kind}")

    def recover(self):
        self.recovery_s.append(self.server.start())


def panics_found(server):
    panics = server.panics()
    return [f"the server's log says: {line}" for line in panics[:5]]


def run(options):
    config = pathlib.Path(os.environ.get("BASALT_KILL_CONFIG", HERE / "limits.toml"))
    args = ["--config", str(config)] if config.exists() else []
    with Server(drives=options.drives, args=args) as server:
        kills = Kills(server, options.seed)
        for _ in range(max(1, options.kills // 10)):
            kills.while_starting("first format", 1.5)
        first_s = server.start()
        server.client().create_bucket(Bucket="kill")
        load = Load(server, "kill", seed=options.seed)
        while kills.total < options.kills and not load.violations:
            kills.under_load(load)
            while kills.total < options.kills and kills.random.random() < 0.25:
                longest = max(kills.recovery_s[-5:], default=first_s)
                kills.while_starting("recovery", longest)
            kills.recover()
            load.check()
        load.run(1)
        load.check()
        code = server.stop()
        if code != 0:
            load.violate(f"SIGTERM ended the server with {code}")
        server.start()
        load.check()
        report(kills, load, panics_found(server))
        return load.violations + panics_found(server)


def report(kills, load, panics):
    phases = ", ".join(f"{count} {phase}" for phase, count in sorted(kills.by_phase.items()))
    print(f"kills: {kills.total} ({phases})")
    times = sorted(kills.recovery_s)
    if times:
        middle = times[len(times) // 2]
        print(f"recovery: median {middle:.2f} s, longest {times[-1]:.2f} s, of {len(times)}")
    print(load.summary())
    for line in load.violations[:20] + panics:
        print(f"VIOLATION {line}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=number("BASALT_KILLS", 50))
    parser.add_argument("--seed", type=int, default=number("BASALT_SEED", 1))
    parser.add_argument("--drives", type=int, default=number("BASALT_DRIVES", 6))
    options = parser.parse_args()
    watchdog(60 + options.kills * 40)
    print(f"seed {options.seed}, {options.drives} drives", flush=True)
    violations = run(options)
    print(f"kill: {options.kills} kills, {len(violations)} violations")
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
