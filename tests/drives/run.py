#!/usr/bin/env python3
"""Loss of drives of a 4+2 set, in use and at a restart, and what comes after it.

    tests/drives/run.py [--driver uring|threads]
    BASALT_PAIRS=15 tests/drives/run.py     # every pair of drives for each fault; default 4

In use: EIO and stalls of 30 s (on tools/powerloss), truncation, removal. At a restart: absence, an
empty directory. Pair after pair goes while the load runs; each pair is back in sync before the next
goes, and the next one is of two other drives: what the first missed is then needed. A third loss
must answer 503, and nothing may be corrupt afterwards. BASALT_SECONDS: load between the steps.
"""

import argparse
import itertools
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from basalt import PASSWORD, USER, Server, binary, wait_for, watchdog  # noqa: E402
from load import Load  # noqa: E402
from lost import (  # noqa: E402
    back_in_use,
    begin,
    clean,
    goes_on,
    lost_in_use,
    out_of_sync,
    put_back,
    right_or_refused,
    remove,
    start_reading,
    stop,
    wait_missed,
    without,
)
from powerloss import Machine  # noqa: E402
from runner import Suite, number  # noqa: E402

suite = Suite("drives")
SECONDS = number("BASALT_SECONDS", 2)
SEED = number("BASALT_SEED", 1)
DRIVES = 6
ARGS = ["--parity", "2"]
STALL_SECONDS = 30


def pairs(count):
    """So many pairs; each of two other drives than the one before where there is one, and of those
    that were chosen least."""
    left = list(itertools.combinations(range(DRIVES), 2))
    chosen = [left.pop(0)]
    while left:
        used = list(itertools.chain(*chosen))
        left.sort(key=lambda pair: (len(set(pair) & set(chosen[-1])), sum(map(used.count, pair))))
        chosen.append(left.pop(0))
    return chosen[:count]


PAIRS = pairs(number("BASALT_PAIRS", 4))


def started():
    server = Server(drives=DRIVES, args=ARGS)
    return server, begin(server, "drives", Load(server, "drives", seed=SEED), SECONDS)


def others_go(server, load, *gone):
    """Two drives other than those that came back are absent: what these hold is needed."""
    rest = [index for index in range(DRIVES) if index not in gone]
    for pair in ((rest[0], rest[1]), (rest[-1], rest[1])):
        without(server, load, pair)


@suite.check
def any_two_are_absent_at_a_restart():
    server, load = started()
    with server:
        for pair in PAIRS:
            took_s = without(server, load, pair, SECONDS)
            print(f"  drives {pair} caught up in {took_s:.1f} s", flush=True)
        others_go(server, load, *PAIRS[-1])


def fault_in_use(fault, seconds):
    """Pair after pair fails under load, one shortly after the other, and comes back."""
    with Machine(SEED, DRIVES, ARGS) as machine:
        server = machine.server
        load = begin(server, "drives", Load(server, "drives", seed=SEED), SECONDS)
        for pair in PAIRS:
            load.expect_5xx = True
            load.start()
            since = time.monotonic()
            machine.inject(fault, pair[0])
            load.stopping.wait(machine.random.choice([0, 0.1, 1]))
            machine.inject(fault, pair[1])
            noticed_s = wait_missed(server, *pair, timeout_s=60)
            load.stop()
            gap_s = load.gap_s
            load.check(settle=False)
            clean(load)
            goes_on(load, max(SECONDS, seconds - (time.monotonic() - since)))
            back_s = back_in_use(server, load, lambda pair=pair: machine.heal(*pair))
            tell(f"{fault} of {pair}", noticed_s, gap_s, back_s)
        others_go(server, load, *PAIRS[-1])


def tell(what, noticed_s, gap_s, back_s):
    print(
        f"  {what}: noticed in {noticed_s:.1f} s, longest time without an answer {gap_s:.1f} s, "
        f"in sync {back_s:.1f} s after it ended",
        flush=True,
    )


@suite.check
def two_answer_eio_in_use():
    fault_in_use("fail", SECONDS)


@suite.check
def two_stall_in_use_for_30_s():
    fault_in_use("stall", STALL_SECONDS)


@suite.check
def two_are_removed_in_use():
    """Renaming the directory leaves open files that keep 'accepting' writes."""
    server, load = started()
    with server:
        for pair in PAIRS[:2]:
            tell(f"removal of {pair}", *lost_in_use(server, load, pair, SECONDS))
        others_go(server, load, *PAIRS[1])


def truncate(drive):
    files = [path for path in drive.rglob("*.data") if path.is_file()]
    largest = max(files, key=lambda path: (path.stat().st_size, path.name))
    with open(largest, "r+b") as file:
        file.truncate(4096)
    return largest.name


@suite.check
def two_are_truncated_in_use():
    """A file of the drive is cut. The drive may heal, or fail and be replaced; then others go."""
    server, load = started()
    with server:
        for pair in PAIRS[:2]:
            load.expect_5xx = True
            load.start()
            names = [truncate(server.drives[index]) for index in pair]
            load.stopping.wait(SECONDS)
            load.stop()
            load.check(settle=False)
            goes_on(load, SECONDS)
            stop(server)
            server.start()
            load.check()
            clean(load)
            bad = [index for index in pair if str(server.drives[index]) in out_of_sync(server)]
            print(f"  {names} of {pair} cut; out of sync after a restart: {bad}", flush=True)
            for index in bad:
                make_empty(server, index)
                replace(server, index)
            server.wait_in_sync(300)
            goes_on(load, SECONDS)
            others_go(server, load, *pair)


def make_empty(server, index):
    """A new drive in the place of one."""
    drive = server.drives[index]
    drive.rename(drive.with_name(f"{drive.name}.broken-{time.monotonic_ns()}"))
    drive.mkdir()


def replace(server, index):
    """`basalt storage drive replace`: asks the running server to rebuild a drive."""
    command = [binary(), "storage", "drive", "replace", "--endpoint", server.endpoint]
    command.append(str(server.drives[index]))
    env = {"BASALT_ROOT_USER": USER, "BASALT_ROOT_PASSWORD": PASSWORD, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"replace: {done.stdout}{done.stderr}"


@suite.check
def an_empty_drive_is_missing_until_it_is_replaced():
    server, load = started()
    with server:
        stop(server)
        make_empty(server, 2)
        server.start()
        load.check()
        goes_on(load, SECONDS)
        assert str(server.drives[2]) in out_of_sync(server), "an empty drive counts as in sync"
        assert not list(server.drives[2].iterdir()), "an empty drive was formatted silently"
        rebuilt_s = back_in_use(server, load, lambda: replace(server, 2))
        print(f"  rebuilt in {rebuilt_s:.1f} s under load", flush=True)
        others_go(server, load, 2)


def serves_nothing_wrong(server, load):
    refused = right_or_refused(server, load)
    assert refused, "nothing was refused with 3 of 6 drives gone"


@suite.check
def a_third_loss_in_use_answers_503_and_corrupts_nothing():
    server, load = started()
    with server:
        stop(server)
        remove(server, 0, 2)
        server.start()
        load.check()
        clean(load)
        load.expect_5xx = True
        load.start()
        remove(server, 4)
        wait_missed(server, 4)
        load.stop(timeout_s=150)
        clean(load)
        serves_nothing_wrong(server, load)
        put_back(server, 0, 2, 4)
        print(f"  in sync {server.wait_in_sync():.1f} s after all were back", flush=True)
        goes_on(load, SECONDS)
        stop(server)
        server.start()
        load.check()
        clean(load)
        others_go(server, load, 0, 2)


@suite.check
def a_third_loss_at_a_restart_answers_503_and_corrupts_nothing():
    server, load = started()
    with server:
        stop(server)
        remove(server, 0, 2, 4)
        start_reading(server)
        serves_nothing_wrong(server, load)
        put_back(server, 0)
        wait_for("it is ready", lambda: server.get("/-/health/ready")[0] == 200, 60)
        load.check()
        goes_on(load, SECONDS)
        put_back(server, 2, 4)
        server.wait_in_sync()
        goes_on(load, SECONDS)
        others_go(server, load, 0, 2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", default=None, choices=["uring", "threads"])
    options = parser.parse_args()
    if options.driver:
        ARGS.extend(["--driver", options.driver])
    watchdog(number("BASALT_TIMEOUT", 3600))
    suite.run().finish()


if __name__ == "__main__":
    main()
