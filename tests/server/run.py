#!/usr/bin/env python3
"""The program as its user meets it: drives given, refusals, settings, signals, what it tells.

    tests/server/run.py            # BASALT_ONLY=text: only checks whose name holds the text
"""

import os

import program  # noqa: F401 - puts tests/lib on the path

import fallback
import full
import given
import lifetime
import settings
import watch
from basalt import watchdog
from runner import Suite, number


def main():
    watchdog(number("BASALT_TIMEOUT", 900))
    only = os.environ.get("BASALT_ONLY", "")
    suite = Suite("server")
    for group in (given, settings, lifetime, watch, fallback, full):
        for check in group.CHECKS:
            if only in check.__name__:
                suite.run_one(check.__name__, check)
    suite.finish()


if __name__ == "__main__":
    main()
