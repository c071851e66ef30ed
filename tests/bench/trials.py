#!/usr/bin/env python3
"""Whether `basalt bench compare` finds what is there and nothing else, on the real server.

    cargo build --release --locked -p basalt --features injected-spin
    tests/bench/trials.py [--trials 20] [--pairs 10] [--seconds 2]

One binary is all three sides: base, the same again, and one in which each request burns a tenth more
CPU. Runs alternate between the sides, each on a server of its own. Judged on the server's CPU time
per operation. Not part of .ci/run: 20 trials take an hour.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE)]

from basalt import PASSWORD, USER, Server, binary, watchdog  # noqa: E402

METRIC = "all.server_cpu"
FOUND_MIN = 18 / 20


def bench(root, *arguments, codes=(0, 8)):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "BASALT_"))}
    env.update(AWS_ACCESS_KEY_ID=USER, AWS_SECRET_ACCESS_KEY=PASSWORD)
    command = [binary(), "bench", *map(str, arguments)]
    done = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode in codes, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def one_run(root, spin_ns, seconds):
    """Answers the run's directory, and what an operation cost the server."""
    with Server(env={"INJECTED_SPIN_NS": str(spin_ns)}) as server:
        server.start()
        # Read often, written once: little else than the requests themselves costs CPU.
        load = ["--mix", "get=90,put=10", "--size", "4KiB", "--keys", "500", "--inflight", "16"]
        length = ["--warmup", "500ms", "--duration", f"{seconds}s", "--keep"]
        bench(root, "--endpoint", server.endpoint, *load, *length)
    run = max((root / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    summary = json.loads((run / "summary.json").read_text())
    mismatches = summary["total"]["mismatches"]
    assert mismatches == 0, mismatches
    void = [one for one in summary["verdict"]["reasons"] if one["voids"] == "everything"]
    assert not void, void
    return run, summary["server"]["cpu_us_per_operation"]


def row_of(root, base, new):
    out = bench(root, "compare", "--format", "json", "--base", *base, "--new", *new)
    rows = {row["metric"]: row for row in json.loads(out)["rows"]}
    return rows[METRIC]


def shown(row):
    return f"{row['ratio']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def one_trial(options, spin_ns):
    """Answers the rows of base against base and of base against the slow one."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="basalt-trial-"))
    try:
        sides = {"base": [], "same": [], "slow": []}
        for _ in range(options.pairs):
            for side in sides:
                spin = spin_ns if side == "slow" else 0
                sides[side].append(one_run(root, spin, options.seconds)[0])
        return (
            row_of(root, sides["base"], sides["same"]),
            row_of(root, sides["same"], sides["slow"]),
        )
    finally:
        shutil.rmtree(root)


def tenth_ns(options):
    """A tenth of what an operation costs, in the median of some runs."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="basalt-trial-"))
    try:
        costs = [one_run(root, 0, options.seconds)[1] for _ in range(7)]
    finally:
        shutil.rmtree(root)
    cost_us = statistics.median(costs)
    print(f"an operation costs the server {cost_us:.1f} us; the spin is a tenth", flush=True)
    return round(cost_us * 100)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=2)
    options = parser.parse_args()
    watchdog(options.trials * options.pairs * (options.seconds + 20) * 3)
    spin_ns = tenth_ns(options)
    silent = found = 0
    for trial in range(1, options.trials + 1):
        same, slow = one_trial(options, spin_ns)
        silent += not same["difference"]
        found += slow["difference"] and slow["low"] > 1
        print(f"{trial}: same {shown(same)}, slow {shown(slow)}", flush=True)
    print(f"no difference found where none is: {silent} of {options.trials}")
    print(f"10 % found: {found} of {options.trials}")
    sys.exit(0 if min(silent, found) >= FOUND_MIN * options.trials else 1)


if __name__ == "__main__":
    main()
