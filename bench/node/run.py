#!/usr/bin/env python3
"""What one node costs, beside a server that does nothing: the whole-node table.

    bench/node/run.py                        # 2 million objects; an hour, 40 GB of disk
    BASALT_OBJECTS=100000 bench/node/run.py  # a short look
    bench/node/run.py --out bench/results/2026-11-30-table.json

Each row is a load of `basalt bench`, put on the release build (4 directory drives, EC 2+2) and on
`basalt bench serve-null` in turn, three times each; the figures are user and system time of the
server process, per operation or per GB. Where `perf` is there, one more run of ours is sampled and
the symbols that cost most are printed. Clients share the CPUs, so that no rate is told.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "lib"))

from basalt import PASSWORD, USER, Server, binary, free_port, watchdog  # noqa: E402
from runner import number  # noqa: E402

OBJECTS = number("BASALT_OBJECTS", 2_000_000)
REPEATS = number("BASALT_REPEATS", 3)
SECONDS = number("BASALT_SECONDS", 8)
EMPTY = ["--anonymous", "--into-existing", "--keep", "--prepared", "--verify", "none"]
SMALL = ["--size", "4KiB", "--keys", OBJECTS, "--bucket", "small", "--prefix", "o/"]
LARGE = ["--size", "64MiB", "--keys", 16, "--bucket", "large", "--prefix", "o/"]
MIDDLE = ["--size", "1MiB", "--keys", 200, "--bucket", "middle", "--prefix", "o/"]
SIGNED = ["--signing", "signed"]


class Row:
    """A load, the size of the null server's objects, and what the design allows."""

    def __init__(self, name, load, null_bytes, unit="operation", budget=None, ratio=None):
        self.name, self.load, self.null_bytes = name, load, null_bytes
        self.unit, self.budget, self.ratio = unit, budget, ratio


ROWS = [
    Row(
        "signed 4 KiB GET, 64 connections",
        [*SMALL, "--mix", "get", "--inflight", 64, *SIGNED],
        "4KiB",
        budget=25,
        ratio=2.4,
    ),
    Row(
        "HEAD",
        [*SMALL, "--mix", "head", "--inflight", 64, *SIGNED],
        "4KiB",
        budget=17,
        ratio=1.6,
    ),
    Row(
        "signed durable 4 KiB PUT, 64 connections",
        [*SMALL, "--mix", "put", "--inflight", 64, *SIGNED],
        "4KiB",
        budget=43,
        ratio=3.5,
    ),
    Row(
        f"LIST of 1,000 of {OBJECTS} keys",
        [*SMALL, "--mix", "list", "--inflight", 8],
        "128KiB",
        budget=1000,
    ),
    Row(
        "64 MiB GET, verified, 4 connections",
        [*LARGE, "--mix", "get", "--inflight", 4],
        "64MiB",
        unit="GB",
        budget=0.32,
        ratio=1.6,
    ),
    Row(
        "64 MiB PUT, unsigned, 16 connections",
        [*LARGE, "--mix", "put", "--inflight", 16],
        "64MiB",
        unit="GB",
        budget=0.9,
        ratio=2.5,
    ),
    Row(
        "1 MiB signed PUT, 16 connections",
        [*MIDDLE, "--mix", "put", "--inflight", 16, *SIGNED],
        "1MiB",
        unit="GB",
        budget=1.6,
    ),
]


class Bench:
    """Runs of `basalt bench` in a scratch directory."""

    def __init__(self, root):
        self.root = root
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "BASALT_"))}
        self.env.update(AWS_ACCESS_KEY_ID=USER, AWS_SECRET_ACCESS_KEY=PASSWORD)

    def run(self, *arguments, seconds=SECONDS):
        """Answers the summary."""
        length = ["--warmup", "1s", "--duration", f"{seconds}s"]
        command = [binary(), "bench", "--out", str(self.root), *length, *map(str, arguments)]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=3600)
        # A client on the server's CPUs voids times, and says so; nothing else may be wrong.
        if done.returncode not in (0, 8):
            sys.exit(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        newest = max(self.root.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        summary = json.loads((newest / "summary.json").read_text())
        shutil.rmtree(newest)
        total = summary["total"]
        void = any(reason["voids"] == "everything" for reason in summary["verdict"]["reasons"])
        if void or total["mismatches"] or not total["count"]:
            sys.exit(f"{' '.join(command)}\n{done.stdout[-2000:]}")
        return summary


class Null:
    """`basalt bench serve-null`, ended with the row."""

    def __init__(self, object_bytes):
        self.port = free_port()
        command = [binary(), "bench", "serve-null", "--address", f"127.0.0.1:{self.port}"]
        command += ["--object-size", object_bytes]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert "serving nothing" in self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


def cost(summary, unit):
    """CPU time of the server: microseconds per operation, or seconds per GB."""
    if unit == "operation":
        return summary["server"]["cpu_us_per_operation"]
    return summary["server"]["cpu_seconds"] / (summary["total"]["bytes"] / 1e9)


def costliest(data, pid):
    """The symbols that took most of the server's samples."""
    command = ["perf", "report", "-i", data, "--stdio", "--no-children", "-s", "symbol", "-q"]
    command += ["--pid", str(pid), "--percentage", "relative"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=300).stdout
    lines = [line.strip() for line in text.splitlines() if "%" in line]
    return [re.sub(r"\s+", " ", line)[:110] for line in lines[:10]]


def sampled(bench, server, load):
    """The costliest symbols of a run of its own."""
    if not shutil.which("perf"):
        return []
    with tempfile.TemporaryDirectory(prefix="basalt-perf-") as folder:
        data = f"{folder}/perf.data"
        # All processes: it spins where a thread of the one it samples ends.
        command = ["perf", "record", "-q", "-a", "-F", "199", "-e", "cpu-clock", "-o", data]
        sampler = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        bench.run("--endpoint", server.endpoint, *load)
        sampler.terminate()
        sampler.wait(60)
        return costliest(data, server.process.pid)


def measured(bench, server, row):
    """A row of the result; objects that it reads are there already."""
    kept = ["--into-existing", "--keep", "--prepared"]
    load = ["--endpoint", server.endpoint, *row.load, *kept]
    ours, null = [], []
    with Null(row.null_bytes) as other:
        empty = ["--endpoint", f"http://127.0.0.1:{other.port}", "--server-pid", other.process.pid]
        for _ in range(REPEATS):
            ours.append(cost(bench.run(*load), row.unit))
            null.append(cost(bench.run(*row.load, *empty, *EMPTY), row.unit))
    ratio = statistics.median(ours) / statistics.median(null)
    result = {
        "row": row.name,
        "unit": "CPU-us per operation" if row.unit == "operation" else "CPU-s per GB",
        "budget": row.budget,
        "budget_ratio": row.ratio,
        "ours": [round(value, 3) for value in ours],
        "null": [round(value, 3) for value in null],
        "ratio": round(ratio, 2),
        "costliest": sampled(bench, server, row.load + kept),
    }
    print(
        f"{row.name}: {statistics.median(ours):.2f} {result['unit']}, "
        f"null {statistics.median(null):.2f}, ratio {ratio:.2f} (budget {row.budget}, {row.ratio})",
        flush=True,
    )
    print("".join(f"    {line}\n" for line in result["costliest"]), end="", flush=True)
    return result


def status_mib(server, field):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return round(int(re.search(rf"{field}:\s+(\d+)", status)[1]) / 1024)


def index_bytes(server):
    return sum(server.metric("^basalt_drive_index_memory_bytes").values())


def prepare(bench, server):
    """Writes what the rows read."""
    for load in (SMALL, LARGE, MIDDLE):
        begin = time.monotonic()
        bench.run("--endpoint", server.endpoint, *load, "--mix", "get", "--keep", seconds=1)
        print(f"prepared {load[5]} in {time.monotonic() - begin:.0f} s", flush=True)


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    flags = re.search(r"^flags\s*:(.*)$", text, re.M)[1].split()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE
    )
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit.stdout.strip(),
        "cpu": re.search(r"^model name\s*:\s*(.*)$", text, re.M)[1],
        "cpus": os.cpu_count(),
        "vector": [flag for flag in ("avx2", "gfni", "avx512f") if flag in flags],
        "kernel": platform.release(),
    }


def hardware_profile(server):
    (sample,) = server.metric("^basalt_profile_info")
    return re.search(r'name="([^"]*)"', sample)[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, help="a new JSON file with every repetition")
    options = parser.parse_args()
    watchdog(7200)
    args = ["--parity", "2", "--memory", "2GiB", "--drive-size", "16GiB"]
    settings = {"OBJECTS": OBJECTS, "REPEATS": REPEATS, "SECONDS": SECONDS}
    variables = " ".join(f"BASALT_{name}={value}" for name, value in settings.items())
    command = f"{variables} bench/node/run.py"
    result = {"command": command, **machine()}
    with Server(drives=4, args=args) as server:
        server.start()
        result["hardware_profile"] = hardware_profile(server)
        bench = Bench(server.root / "runs")
        bench.root.mkdir()
        empty_mib, empty_index = status_mib(server, "VmRSS"), index_bytes(server)
        prepare(bench, server)
        result["index_mib_per_million"] = round(
            (index_bytes(server) - empty_index) / 2**20 / (OBJECTS / 1e6), 1
        )
        result["rows"] = [measured(bench, server, row) for row in ROWS]
        result["resident_mib"] = {"empty": empty_mib, "peak": status_mib(server, "VmHWM")}
        begin = time.monotonic()
        server.stop()
        result["stop_seconds"] = round(time.monotonic() - begin, 1)
        result["start_seconds"] = round(server.start(300), 1)
    rest = {name: value for name, value in result.items() if name != "rows"}
    print(json.dumps(rest, indent=2))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
