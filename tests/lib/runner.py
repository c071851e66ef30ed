"""Runs named checks and prints 'N passed, N failed'. A skip fails under BASALT_REQUIRE_ALL=1."""

import os
import sys
import time
import traceback


class Skip(Exception):
    """A check that cannot run here; the text says why."""


class Suite:
    def __init__(self, name):
        self.name = name
        self.checks = []
        self.passed, self.failed, self.skipped = 0, [], []

    def check(self, function):
        """Decorator: adds a check."""
        self.checks.append(function)
        return function

    def run_one(self, name, function, *args):
        begin = time.monotonic()
        try:
            function(*args)
        except Skip as reason:
            self.skipped.append(name)
            print(f"skip {name}: {reason}", flush=True)
        except Exception:  # noqa: BLE001 - whatever it is, it is this check's failure
            self.failed.append(name)
            print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
        else:
            self.passed += 1
            print(f"ok   {name} ({time.monotonic() - begin:.1f} s)", flush=True)

    def run_named(self, name, function, *args):
        """Runs a check unless BASALT_ONLY is not in its name, or BASALT_WITHOUT names it."""
        if name in os.environ.get("BASALT_WITHOUT", "").split(","):
            print(f"left out {name}", flush=True)
        elif os.environ.get("BASALT_ONLY", "") in name:
            self.run_one(name, function, *args)

    def run(self, *args):
        for function in self.checks:
            self.run_named(function.__name__, function, *args)
        return self

    def judge_server(self, server):
        """One check more: the server is still there and did not panic."""
        problems = server.panics()[:3] or ([] if server.alive() else ["the server is gone"])
        self.failed += problems
        self.passed += not problems

    def finish(self):
        """Prints the sum and ends the process."""
        if self.skipped and os.environ.get("BASALT_REQUIRE_ALL") == "1":
            self.failed += self.skipped
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        print(f"{self.name}: {self.passed} passed, {len(self.failed)} failed{skipped}", flush=True)
        for name in self.failed:
            print(f"  failed: {name}")
        sys.exit(1 if self.failed or not self.passed else 0)


def number(name, default):
    """An integer setting from the environment."""
    return int(os.environ.get(name, default))
