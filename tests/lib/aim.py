"""Waits until a server's log says that some work has begun, and does something about it at once: in
a process of its own, for the threads of a load would hold it up for many milliseconds.

    aim.py LOG OFFSET WORK TIMEOUT_S DELAY_S kill PID
    aim.py LOG OFFSET WORK TIMEOUT_S DELAY_S write FILE LINE

Ends with 0 where it did it, with 1 where the work did not begin in time.
"""

import os
import signal
import sys
import time

PAUSE_S = 0.0003


def begins(log, work, timeout_s):
    wanted = f"background work begins work={work} ".encode()
    deadline = time.monotonic() + timeout_s
    rest = b""
    while time.monotonic() < deadline:
        added = log.read()
        if wanted in rest + added:
            return True
        rest = (rest + added)[-len(wanted) :]
        if not added:
            time.sleep(PAUSE_S)
    return False


def main():
    path, offset, work, timeout_s, delay_s, action, *rest = sys.argv[1:]
    with open(path, "rb", buffering=0) as log:
        log.seek(int(offset))
        if not begins(log, work, float(timeout_s)):
            sys.exit(1)
    time.sleep(float(delay_s))
    if action == "kill":
        os.kill(int(rest[0]), signal.SIGKILL)
    else:
        with open(rest[0], "w") as control:
            control.write(rest[1])


if __name__ == "__main__":
    main()
