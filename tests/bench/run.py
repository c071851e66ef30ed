#!/usr/bin/env python3
"""`basalt bench` against the real server, and against servers that lie, stall and are limited.

    tests/bench/run.py            # BASALT_ONLY=text: only checks whose name holds the text
"""

import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE)]

from basalt import PASSWORD, REPOSITORY, USER, Server, binary, free_port, watchdog  # noqa: E402
from proxy import Corrupting  # noqa: E402
from sealing import Sealing  # noqa: E402
from runner import Skip, Suite, number  # noqa: E402

VOID = 8
# /dev lies in memory: nothing is made there.
ABSENT_DEVICE = "/dev/basalt-absent"
suite = Suite("bench")


class Null:
    """`basalt bench serve-null`, ended with the check."""

    def __init__(self, *arguments, scheme="http"):
        self.scheme = scheme
        self.port = free_port()
        command = [binary(), "bench", "serve-null", "--address", f"127.0.0.1:{self.port}"]
        # Not a pipe for the errors: whoever waits for ours must not wait for this process.
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert "serving nothing" in self.process.stdout.readline()

    @property
    def endpoint(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(10) == 0


class Worker:
    """`basalt bench worker`, ended with the check."""

    def __init__(self, env, listen="127.0.0.1"):
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        command = [binary(), "bench", "worker", "--listen", f"{listen}:{port}"]
        self.process = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert "a worker listens on" in self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(15) == 0
        self.process.stdout.close()


class Bench:
    """Runs of the program in a scratch directory."""

    def __init__(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="basalt-bench-")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "BASALT_"))}
        self.env.update(AWS_ACCESS_KEY_ID=USER, AWS_SECRET_ACCESS_KEY=PASSWORD)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.scratch.cleanup()

    def start(self, *arguments):
        command = [binary(), "bench", "--out", self.scratch.name, *map(str, arguments)]
        return subprocess.Popen(
            command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments, code=0):
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        if process.returncode == VOID and code == 0:
            # A busy machine voids a run's times, and nothing else of it.
            kinds = {reason["kind"] for reason in self.summary()["verdict"]["reasons"]}
            assert kinds <= {"schedule_lag", "client_cpu"}, (kinds, out)
            return out, err
        assert process.returncode == code, (process.returncode, out, err[-2000:])
        return out, err

    def runs(self):
        return sorted(pathlib.Path(self.scratch.name).iterdir())

    def summary(self, repeat=1):
        name = "summary.json" if repeat == 1 else f"summary-{repeat}.json"
        return json.loads((self.runs()[-1] / name).read_text())


def short(endpoint, *more):
    return ["--endpoint", endpoint, "--warmup", "0s", "--duration", "2s", "--keys", "300", *more]


def names_in(server, bucket):
    pages = server.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


@suite.check
def every_operation_runs_and_everything_is_right():
    mix = (
        "put=20,get=30,get-range=10,head=10,delete=5,multi-delete=1,list=2,copy=5,multipart-put=2"
    )
    with Server() as server, Bench() as bench:
        server.start()
        for signing in ("unsigned", "signed", "chunked", "trailer"):
            out, _ = bench.run(
                *short(server.endpoint, "--mix", mix, "--sweep", "--signing", signing),
                *["--size", "buckets(0B:5,100B:10,4KiB:50,40KiB:30,1MiB:5)", "--inflight", 24],
            )
            summary = bench.summary()
            assert len(summary["operations"]) == 9, sorted(summary["operations"])
            wrong = {
                f"{name}: {code}": count
                for name, operation in summary["operations"].items()
                for code, count in operation.get("errors", {}).items()
                if code != "raced"
            }
            assert not wrong, wrong
            assert summary["server"]["cpu_us_per_operation"] > 0
            assert "0 wrong or missing" in out
        for name in ("manifest.toml", "intervals.csv", "latency.hlog", "report.html"):
            assert (bench.runs()[-1] / name).stat().st_size > 100, name
        buckets = [bucket["Name"] for bucket in server.client().list_buckets()["Buckets"]]
        assert buckets == [], "what the runs made is gone"
        assert not server.panics()


@suite.check
def an_open_loop_keeps_its_rate_and_says_so():
    with Server() as server, Bench() as bench:
        server.start()
        bench.run(*short(server.endpoint, "--rate", "poisson:300", "--duration", "4s"))
        summary = bench.summary()
        assert summary["load"] == "open"
        # A Poisson count of 1,200 is within five standard deviations.
        assert abs(summary["total"]["count"] - 1200) < 5 * 1200**0.5, summary["total"]
        assert summary["client"]["schedule_lag"]["count"] == summary["total"]["count"]
        assert "queue" in summary["operations"]["get"]["latency"]


@suite.check
def what_is_not_ours_is_refused_and_stays():
    with Server() as server, Bench() as bench:
        server.start()
        client = server.client()
        client.create_bucket(Bucket="shared")
        client.put_object(Bucket="shared", Key="precious", Body=b"value")
        into = short(server.endpoint, "--bucket", "shared", "--mix", "put=1,copy=1")
        _, err = bench.run(*into, code=2)
        assert "precious" in err and "--into-existing" in err, err
        # A name like ours that is none of this run's keys, too.
        client.put_object(Bucket="shared", Key="mine/precious", Body=b"value")
        _, err = bench.run(*into, "--into-existing", "--prefix", "mine/", code=2)
        assert "mine/precious" in err and "--prepared" in err, err
        bench.run(*into, "--into-existing")
        assert names_in(server, "shared") == ["mine/precious", "precious"]


@suite.check
def kept_objects_are_used_again():
    with Server() as server, Bench() as bench:
        server.start()
        same = short(server.endpoint, "--prefix", "kept/", "--size", "uniform(1KiB,64KiB)")
        bench.run(*same, "--keep")
        assert len(names_in(server, "basalt-bench")) == 300
        for _ in range(2):
            bench.run(*same, "--prepared", "--sweep", "--mix", "get=80,put=20,head=10")
            assert bench.summary()["total"]["mismatches"] == 0
        # Another seed makes other names and bytes.
        bench.run(*same, "--prepared", "--seed", "2", code=VOID)
        flat = ["--directories", "0", "--prefix", "flat/"]
        bench.run(*same, *flat, "--into-existing", "--keep")
        flat = ["--directories", "0", "--prefix", "flat/", "--seed", "2", "--prepared"]
        bench.run(*same, *flat, code=VOID)
        assert bench.summary()["total"]["mismatches"] > 0


@suite.check
def lies_are_found_and_named():
    with Server() as server, Bench() as bench:
        server.start()
        for kind in ("torn", "misdirected", "stale"):
            with Corrupting(server.port, kind) as proxy:
                mix = ["--mix", "get=80,put=20"] if kind == "stale" else ["--mix", "get"]
                arguments = short(proxy.endpoint, *mix, "--duration", "4s", "--keys", "50")
                out, _ = bench.run(*arguments, "--size", "8KiB", code=VOID)
                assert proxy.lies > 0, "the proxy changed nothing"
                assert kind in out, (kind, out)
                assert bench.summary()["total"]["mismatches"] > 0


@suite.check
def a_stall_shows_in_the_tail_of_an_open_loop():
    with Server() as server, Bench() as bench:
        server.start()
        figures = {}
        for name, arrival in (("open", ["--rate", "200"]), ("closed", ["--inflight", "2"])):
            process = bench.start(*short(server.endpoint, *arrival, "--duration", "5s"))
            for line in process.stderr:
                if line.startswith("measure    2 s"):
                    break
            server.process.send_signal(signal.SIGSTOP)
            time.sleep(1)
            server.process.send_signal(signal.SIGCONT)
            process.communicate(timeout=60)
            latency = bench.summary()["operations"]["get"]["latency"]
            figures[name] = latency["response"]
            print(f"  {name}: p99 {latency['response']['p99_us'] / 1e3:.1f} ms, "
                  f"max {latency['response']['max_us'] / 1e3:.1f} ms", flush=True)
        # A fifth of the requests of five seconds was planned in the stall, evenly over it.
        assert figures["open"]["p99_us"] > 800_000, figures
        assert figures["open"]["max_us"] > 900_000, figures
        assert figures["closed"]["max_us"] > 900_000, figures
        assert figures["closed"]["p99_us"] < 500_000, figures


@suite.check
def the_null_server_is_measured():
    with Null() as server, Bench() as bench:
        usual = ["--anonymous", "--verify", "none", "--server-pid", server.process.pid, "--keep"]
        bench.run(*short(server.endpoint, *usual, "--mix", "get=50,put=50"))
        summary = bench.summary()
        assert summary["server"]["cpu_us_per_operation"] > 0
        print(f"  {summary['server']['cpu_us_per_operation']:.1f} us of the server and "
              f"{summary['client']['cpu_us_per_operation']:.1f} us of the client", flush=True)


@suite.check
def a_known_cap_is_found():
    cap = 800
    with Null("--max-rate", cap) as server, Bench() as bench:
        usual = ["--endpoint", server.endpoint, "--anonymous", "--verify", "none", "--keep"]
        usual += ["--mix", "put", "--warmup", "0s", "--duration", "3s"]
        out, err = bench.run(*usual, "--find-knee", "--slo", "p50=50ms")
        assert "knee: " in out, (out, err)
        found = float(out.rsplit("knee: ", 1)[1].split()[0])
        print(f"  {found:.0f} of {cap} per second", flush=True)
        assert abs(found / cap - 1) < 0.1, out


class Drive:
    """A file that direct I/O works on; BASALT_TEST_DIR says where, else beside the build."""

    def __init__(self):
        parent = os.environ.get("BASALT_TEST_DIR") or REPOSITORY / "target"
        self.directory = tempfile.TemporaryDirectory(prefix="basalt-raw-", dir=parent)
        self.path = pathlib.Path(self.directory.name) / "drive.data"
        probe = pathlib.Path(self.directory.name) / "probe"
        probe.write_bytes(bytes(4096))
        try:
            os.close(os.open(probe, os.O_RDONLY | os.O_DIRECT))
        except OSError as error:
            self.directory.cleanup()
            raise Skip(f"no direct I/O below {parent}: {error}") from error
        self.arguments = ["--target", "raw", "--drive", self.path, "--warmup", "0s"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.directory.cleanup()


def bytes_read(path):
    """What the file system's device says it has read so far, where there is one that counts."""
    device = path.stat().st_dev
    place = pathlib.Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if not (place / "stat").exists():
        return None
    # A partition has no queue of its own.
    for switch in (place / "queue" / "iostats", place / ".." / "queue" / "iostats"):
        if switch.exists() and switch.read_text().strip() == "0":
            return None
    return int((place / "stat").read_text().split()[2]) * 512


@suite.check
def a_drive_is_made_read_and_written():
    with Drive() as drive, Bench() as bench:
        usual = [*drive.arguments, "--drive-bytes", "64MiB", "--inflight", 8, "--duration", "2s"]
        bench.run(*usual)
        assert drive.path.stat().st_size == 64 << 20
        assert drive.path.stat().st_blocks * 512 >= 64 << 20, "no holes"
        made = drive.path.read_bytes()
        before = bytes_read(drive.path)
        bench.run(*usual, "--mix", "get=1,get-range=1", "--size", "16KiB")
        summary = bench.summary()
        get = summary["operations"]["get"]
        assert get["count"] > 100 and not get.get("errors"), get
        rate = get["bytes_per_second"] / get["operations_per_second"]
        assert abs(rate / 16384 - 1) < 0.01, "every get moves its object"
        ranges = summary["operations"]["get-range"]
        # A range of 4 KiB at any place of the object: one block, from where the block begins.
        rate = ranges["bytes_per_second"] / ranges["operations_per_second"]
        assert abs(rate / 4096 - 1) < 0.01, ranges
        if before is not None:
            # Every read goes past the page cache to the device; others on it only add.
            moved = get["count"] * 16384 + ranges["count"] * 4096
            read = bytes_read(drive.path) - before
            print(f"  {moved >> 20} MiB asked, {read >> 20} MiB read", flush=True)
            assert read >= moved, (read, moved)
        assert drive.path.read_bytes() == made, "reads write nothing"
        _, err = bench.run(*usual, "--mix", "get=1,put=1", code=2)
        assert "--overwrite-drive" in err, err
        assert drive.path.read_bytes() == made, "what was refused wrote nothing"
        written = [*usual, "--mix", "get=1,put=1", "--overwrite-drive", "--sweep"]
        out, _ = bench.run(*written, "--size", "uniform(4KiB,64KiB)")
        assert " 0 wrong or missing" in out, out
        summary = bench.summary()
        assert summary["operations"]["put"]["count"] > 10
        assert summary["total"]["mismatches"] == 0
        assert drive.path.read_bytes() != made


@suite.check
def what_is_damaged_on_a_drive_is_found():
    with Drive() as drive, Bench() as bench:
        usual = [*drive.arguments, "--drive-bytes", "4MiB", "--duration", "6s", "--inflight", 4]
        process = bench.start(*usual, "--mix", "get=9,put=1", "--overwrite-drive")
        for line in process.stderr:
            if line.startswith("measure    2 s"):
                break
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        with open(drive.path, "r+b") as file:
            for block in range(1024):
                file.seek(block * 4096 + 2000)
                file.write(b"damage")
        out = process.stdout.read()
        assert process.wait(60) == VOID, out
        drain.join()
        assert "torn" in out or "foreign" in out, out


@suite.check
def what_is_not_a_benchmarks_drive_stays():
    with Drive() as drive, Bench() as bench:
        puts = [*drive.arguments, "--mix", "put", "--overwrite-drive", "--duration", "1s"]
        for mark, offset, name in ((b"BASALTSB", 0, "basalt"), (b"\x53\xef", 1080, "ext4")):
            data = bytearray(os.urandom(1 << 20))
            # Not by chance one that is known.
            data[:8192] = bytes(8192)
            data[offset : offset + len(mark)] = mark
            drive.path.write_bytes(data)
            _, err = bench.run(*puts, code=2)
            assert name in err and "not overwritten" in err, err
            assert drive.path.read_bytes() == data
        with open(drive.path, "wb") as file:
            file.truncate(1 << 20)
        _, err = bench.run(*drive.arguments, code=2)
        assert "holes" in err, err
        drive.path.unlink()
        _, err = bench.run(*drive.arguments, code=2)
        assert "--drive-bytes" in err, err
        _, err = bench.run("--target", "raw", "--drive", drive.directory.name, code=2)
        assert "neither" in err, err
        _, err = bench.run(*drive.arguments, "--drive-bytes", "1MiB", "--mix", "delete", code=2)
        assert "delete needs a store" in err, err
        assert not drive.path.exists(), "what is refused makes nothing"


@suite.check
def a_drive_is_as_fast_as_fio_says():
    if not shutil.which("fio"):
        raise Skip("fio is not installed")
    depth, seconds = 16, 3
    with Drive() as drive, Bench() as bench:
        ours = [*drive.arguments, "--inflight", depth, "--threads", 1, "--verify", "none"]
        ours += ["--duration", f"{seconds}s"]
        bench.run(*ours, "--drive-bytes", "512MiB")
        theirs = [
            *["fio", "--name=raw", f"--filename={drive.path}", "--ioengine=io_uring", "--direct=1"],
            *["--bs=4k", f"--iodepth={depth}", "--rw=randread", "--readonly", "--time_based"],
            *[f"--runtime={seconds}", "--output-format=json"],
        ]
        ratios = []
        for pair in range(number("BASALT_FIO_PAIRS", 7)):
            figures = {}
            # Whoever is second has the drive's caches as the first left them: they take turns.
            for who in ("ours", "fio") if pair % 2 == 0 else ("fio", "ours"):
                if who == "ours":
                    bench.run(*ours)
                    figures[who] = bench.summary()["operations"]["get"]["operations_per_second"]
                else:
                    done = subprocess.run(theirs, capture_output=True, text=True, timeout=60)
                    assert done.returncode == 0, done.stderr
                    # Notes may stand before the figures.
                    report = json.loads(done.stdout[done.stdout.index("{") :])
                    figures[who] = report["jobs"][0]["read"]["iops"]
            ratios.append(figures["ours"] / figures["fio"])
            print(f"  {figures['ours']:.0f} of ours, {figures['fio']:.0f} of fio, "
                  f"{ratios[-1]:.3f}", flush=True)
        ratio = statistics.median(ratios)
        print(f"  median ratio {ratio:.3f}, {min(ratios):.3f} to {max(ratios):.3f}", flush=True)
        # 0.9 to 1.1 is what is wanted of a quiet machine and seven pairs; others are noisy.
        assert 0.5 < ratio < 2, ratios


@suite.check
def the_engine_is_measured_without_a_gateway():
    parent = os.environ.get("BASALT_TEST_DIR")
    with tempfile.TemporaryDirectory(prefix="basalt-engine-", dir=parent) as root, Bench() as bench:
        root = pathlib.Path(root)
        usual = ["--target", "engine", "--dir", root / "drives", "--drives", 4, "--warmup", "0s"]
        usual += ["--duration", "1s", "--keys", 100, "--inflight", 8, "--drive-bytes", "256MiB"]
        mix = "put=3,get=3,get-range=2,head=1,list=1,delete=1"
        sizes = "buckets(0B:1,4KiB:8,100KiB:1)"
        out, _ = bench.run(*usual, "--mix", mix, "--size", sizes, "--sweep")
        summary = bench.summary()
        assert " 0 wrong or missing" in out, out
        assert summary["target"] == "engine 4 drives", summary["target"]
        assert len(summary["operations"]) == 6, sorted(summary["operations"])
        for name, operation in summary["operations"].items():
            failed = {code for code in operation.get("errors", {}) if code != "raced"}
            assert operation["count"] > 0 and not failed, (name, operation)
        server = summary["server"]
        assert server["cpu_us_per_operation"] > 0, server
        print(f"  {server['cpu_us_per_operation']:.1f} us of the shards and "
              f"{summary['client']['cpu_us_per_operation']:.1f} us of the client", flush=True)
        assert list(root.iterdir()) == [], "nothing is left behind"
        # Beside what an earlier run kept; and that stays, also its bytes' place.
        bench.run(*usual, "--keep", "--mix", "put")
        drives = [root / "drives" / f"drive-{number}" for number in range(1, 5)]
        assert all((drive / "basalt-000000.data").exists() for drive in drives)
        named = ["--target", "engine", "--drive", f"{root}/drives/drive-{{1...4}}", *usual[6:]]
        _, err = bench.run(*named, code=2)
        assert "--into-existing" in err, err
        bench.run(*named, "--into-existing", "--sweep", "--mix", "get=1,put=1")
        assert all((drive / "basalt-000000.data").exists() for drive in drives)


@suite.check
def the_engine_takes_nobodys_directory():
    with tempfile.TemporaryDirectory(prefix="basalt-engine-") as root, Bench() as bench:
        root = pathlib.Path(root)
        (root / "a").mkdir()
        (root / "a" / "thesis.txt").write_text("value")
        engine = ["--target", "engine", "--duration", "1s"]
        for given in (["--drive", root / "b", "--drive", root / "a"], ["--dir", root / "a"]):
            _, err = bench.run(*engine, *given, code=2)
            assert "thesis.txt" in err, err
        _, err = bench.run(*engine, "--drive", root / "a" / "thesis.txt", code=2)
        assert "directories only" in err, err
        for wrong, said in (
            (["--mix", "copy"], "copy is the gateway's work"),
            (["--workers", "127.0.0.1:1"], "in this process"),
            (["--endpoint", "http://127.0.0.1:1"], "--endpoint"),
        ):
            _, err = bench.run(*engine, *wrong, code=2)
            assert said in err, err
        assert [path.name for path in root.rglob("*")] == ["a", "thesis.txt"]
        assert (root / "a" / "thesis.txt").read_text() == "value"
        assert bench.runs() == [], "a run that never was leaves nothing"


@suite.check
def the_bare_network_is_measured():
    with Null("--protocol", "frames", scheme="tcp") as sink, Bench() as bench:
        usual = ["--target", "net", "--endpoint", sink.endpoint, "--warmup", "0s"]
        usual += ["--duration", "2s", "--server-pid", sink.process.pid]
        bench.run(*usual, "--mix", "put=1,get=1,get-range=1", "--size", "64KiB")
        summary = bench.summary()
        assert summary["server"]["cpu_us_per_operation"] > 0
        for name, size in (("put", 65536), ("get", 65536), ("get-range", 4096)):
            operation = summary["operations"][name]
            assert operation["count"] > 100 and not operation.get("errors"), (name, operation)
            moved = operation["bytes_per_second"] / operation["operations_per_second"]
            assert abs(moved / size - 1) < 0.01, (name, moved)
        print(f"  {summary['server']['cpu_us_per_operation']:.1f} us of the sink and "
              f"{summary['client']['cpu_us_per_operation']:.1f} us of the client", flush=True)
        _, err = bench.run(*usual, "--mix", "list", code=2)
        assert "list needs a store" in err, err
    with Null() as server, Bench() as bench:
        _, err = bench.run("--target", "net", "--endpoint", f"tcp://127.0.0.1:{server.port}", code=2)
        assert "speaks no frames" in err, err
    with Bench() as bench:
        nobody = f"tcp://127.0.0.1:{free_port()}"
        _, err = bench.run("--target", "net", "--endpoint", nobody, code=6)
        assert "cannot reach" in err, err


@suite.check
def errors_are_clear():
    with Bench() as bench:
        nobody = ["--endpoint", f"http://127.0.0.1:{free_port()}"]
        _, err = bench.run(*nobody, code=6)
        assert "cannot reach" in err, err
        for wrong, said in (
            (["--mix", "fetch"], "fetch"),
            (["--size", "huge"], "huge"),
            (["--insecure"], "--insecure: it is for"),
            (["--ca-file", "/does/not/exist", "--endpoint", "https://127.0.0.1"], "/does/not"),
            (["--rate", "1k", "--mix", "get@5k"], "--mix"),
            (["--target", "raw", "--drive", ABSENT_DEVICE, "--drive-bytes", "1MiB"], "no such device"),
            (["--target", "engine", "--drive", ABSENT_DEVICE, "--drive-bytes", "1GiB"], "no such device"),
        ):
            _, err = bench.run(*wrong, code=2)
            assert said in err, err
        assert bench.runs() == [], "a run that never was leaves nothing"
    with Server() as server, Bench() as bench:
        server.start()
        bench.env["AWS_SECRET_ACCESS_KEY"] = "wrong"
        _, err = bench.run(*short(server.endpoint), code=4)
        assert "403" in err, err


@suite.check
def a_load_goes_through_tls():
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    with Server() as server, Bench() as bench:
        server.start()
        with Sealing(server.port) as front:
            sizes = ["--size", "buckets(0B:5,4KiB:80,1MiB:15)", "--inflight", 8]
            load = ["--mix", "put=30,get=70", *sizes]
            trusting = ["--ca-file", front.authority]
            for name in ("localhost", "127.0.0.1"):
                made = front.connections
                endpoint = front.endpoint(name)
                out, err = bench.run(*short(endpoint, *load, *trusting, "--sweep"))
                summary = bench.summary()
                assert summary["target"] == f"s3 {endpoint}", summary["target"]
                assert "0 wrong or missing" in out and "warning" not in err, (out, err)
                assert summary["total"]["count"] > 100 and not summary["total"]["mismatches"], out
                assert not any(o.get("errors") for o in summary["operations"].values()), summary
                # Its own counters come the same way.
                assert summary["server"]["cpu_us_per_operation"] > 0
                # The load's eight, that of the bucket, and one that only looked who answers.
                assert front.connections - made < 20, "connections are kept"
            _, err = bench.run(*short(front.endpoint(), *load, "--insecure"))
            assert "not checked" in err, err
            manifest = (bench.runs()[-1] / "manifest.toml").read_text()
            assert 'insecure = "true"' in manifest, manifest
            # A worker knows neither the file nor the authority.
            with Worker(bench.env) as worker:
                both = [*sharing(worker), "--threads", 1, "--duration", "1s"]
                bench.run(*short(front.endpoint(), *trusting, *both))
            kept = len(bench.runs())
            _, err = bench.run(*short(front.endpoint(), *load), code=6)
            assert "cannot reach" in err and "is not trusted" in err, err
            plain = f"https://127.0.0.1:{server.port}"
            _, err = bench.run(*short(plain, *load, *trusting), code=6)
            assert "cannot reach" in err, err
            _, err = bench.run(*short(server.endpoint, *trusting), code=2)
            assert "--ca-file: it is for" in err, err
            assert len(bench.runs()) == kept, "a run that never was leaves nothing"
        assert server.client().list_buckets()["Buckets"] == []
        assert not server.panics()


@suite.check
def an_interrupted_run_cleans_up():
    with Server() as server, Bench() as bench:
        server.start()
        process = bench.start(*short(server.endpoint, "--duration", "60s"))
        for line in process.stderr:
            if line.startswith("measure    1 s"):
                break
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        process.send_signal(signal.SIGINT)
        out = process.stdout.read()
        assert process.wait(60) == 7, out
        drain.join()
        assert "interrupted" in out
        assert server.client().list_buckets()["Buckets"] == []


def sharing(*workers):
    return ["--workers", ",".join(worker.address for worker in workers)]


@suite.check
def two_workers_make_one_load():
    with Server() as server, Bench() as bench:
        server.start()
        with Worker(bench.env) as one, Worker(bench.env) as two:
            both = [*sharing(one, two), "--threads", 2]
            mix = ["--mix", "put=30,get=60,delete=10", "--sweep", "--size", "uniform(1B,64KiB)"]
            out, _ = bench.run(*short(server.endpoint, *both, *mix, "--inflight", 16))
            summary = bench.summary()
            assert summary["client"]["threads"] == 4, summary["client"]
            assert summary["total"]["mismatches"] == 0 and "0 wrong or missing" in out, out
            operations = summary["operations"].values()
            total = sum(operation["count"] for operation in operations)
            assert total == summary["total"]["count"] > 100, summary["total"]
            # Every latency of every thread is in the merged histograms.
            for operation in operations:
                assert operation["latency"]["response"]["count"] == operation["count"], operation
            manifest = (bench.runs()[-1] / "manifest.toml").read_text()
            for worker in (one, two):
                assert f"{worker.address}: 2 threads, clock" in manifest, manifest
                assert f"worker {worker.address}" in out, out
            assert manifest.count("moved by") == 2, manifest
            assert server.client().list_buckets()["Buckets"] == []
            # The same workers serve the next run.
            arrivals = ["--rate", "poisson:300", "--duration", "4s"]
            bench.run(*short(server.endpoint, *both, *arrivals))
            summary = bench.summary()
            assert summary["load"] == "open"
            assert abs(summary["total"]["count"] - 1200) < 5 * 1200**0.5, summary["total"]
            lag = summary["client"]["schedule_lag"]
            assert lag["count"] == summary["total"]["count"], summary
            # Objects that workers wrote are read by this process, and the other way round.
            same = short(server.endpoint, "--prefix", "kept/")
            bench.run(*same, *both, "--keep")
            again = ["--prepared", "--mix", "get=80,put=20", "--sweep"]
            for who in ([], both):
                bench.run(*same, *who, *again)
                assert bench.summary()["total"]["mismatches"] == 0
        assert not server.panics()


@suite.check
def a_worker_that_is_killed_voids_the_run_and_is_named():
    with Server() as server, Bench() as bench:
        server.start()
        with Worker(bench.env) as one, Worker(bench.env) as two:
            run = short(server.endpoint, *sharing(one, two), "--threads", 1, "--duration", "60s")
            process = bench.start(*run)
            for line in process.stderr:
                if line.startswith("measure    1 s"):
                    break
            begin = time.monotonic()
            two.process.kill()
            out, err = process.communicate(timeout=60)
            assert process.returncode == VOID, (process.returncode, out, err)
            said = err.rsplit("the run is void", 1)[-1]
            assert two.address in said and one.address not in said, err
            assert time.monotonic() - begin < 30, "the others are stopped at once"
            two.process.wait(10)
            assert server.client().list_buckets()["Buckets"] == []
            # The one that is left waits for the next run.
            bench.run(*short(server.endpoint, *sharing(one), "--threads", 1))


@suite.check
def an_interrupted_run_stops_its_workers():
    with Server() as server, Bench() as bench:
        server.start()
        with Worker(bench.env) as one, Worker(bench.env) as two:
            both = [*sharing(one, two), "--threads", 1]
            process = bench.start(*short(server.endpoint, *both, "--duration", "60s"))
            for line in process.stderr:
                if line.startswith("measure    1 s"):
                    break
            # A second run finds them busy.
            _, err = bench.run(*short(server.endpoint, "--bucket", "second", *both), code=6)
            assert one.address in err and "one run at a time" in err, err
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
            assert process.returncode == 7 and "interrupted" in out, (out, err)
            assert server.client().list_buckets()["Buckets"] == []
            bench.run(*short(server.endpoint, *both))


@suite.check
def workers_are_guarded_by_a_secret():
    with Server() as server, Bench() as bench:
        server.start()
        command = [binary(), "bench", "worker", "--listen", f"0.0.0.0:{free_port()}"]
        done = subprocess.run(command, env=bench.env, capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and "BASALT_BENCH_SECRET" in done.stderr, done.stderr
        env = {**bench.env, "BASALT_BENCH_SECRET": "one of ours"}
        with Worker(env, listen="0.0.0.0") as worker:
            run = short(server.endpoint, *sharing(worker), "--threads", 1, "--duration", "1s")
            _, err = bench.run(*run, code=6)
            assert "asks for its secret" in err and worker.address in err, err
            bench.env["BASALT_BENCH_SECRET"] = "another"
            _, err = bench.run(*run, code=6)
            assert "secrets differ" in err, err
            bench.env["BASALT_BENCH_SECRET"] = "one of ours"
            bench.run(*run)
        # Keys never travel: a worker without its own cannot work.
        with Worker({k: v for k, v in env.items() if not k.startswith("AWS_")}) as worker:
            run = short(server.endpoint, *sharing(worker), "--threads", 1)
            _, err = bench.run(*run, code=6)
            assert "no credentials" in err and worker.address in err, err
        _, err = bench.run(*short(server.endpoint, "--workers", "nobody:0"), code=2)
        assert "--workers" in err, err
        gone = f"127.0.0.1:{free_port()}"
        _, err = bench.run(*short(server.endpoint, "--workers", gone), code=6)
        assert gone in err and "cannot be reached" in err, err
        assert server.client().list_buckets()["Buckets"] == []


@suite.check
def runs_are_compared_and_rules_are_held():
    with Server() as server, Bench() as bench:
        server.start()
        for _ in range(6):
            bench.run(*short(server.endpoint, "--duration", "1s"))
        runs = bench.runs()
        base, new = runs[::2], runs[1::2]
        command = [binary(), "bench", "compare", "--base", *base, "--new", *new]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and "get.p99" in done.stdout, (done.stdout, done.stderr)
        command += ["--fail-if", "all.client_cpu<+1000%", "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == VOID, (done.stdout[-500:], done.stderr)
        assert json.loads(done.stdout)["base_runs"] == 3
        one_each = [binary(), "bench", "compare", base[0], new[0]]
        for more in ([], ["--fail-if", "all.client_cpu<+1000%"]):
            done = subprocess.run([*one_each, *more], capture_output=True, text=True, timeout=60)
            assert done.returncode == (VOID if more else 0), (done.stdout, done.stderr)
            assert "get.p99" in done.stdout, done.stdout
        for wrong in (one_each[:4], one_each[:3], [*one_each, "--base", base[0], "--new", new[0]]):
            done = subprocess.run(wrong, capture_output=True, text=True, timeout=60)
            assert done.returncode == 2 and done.stderr.startswith("error:"), done.stderr
        page = pathlib.Path(bench.scratch.name) / "both.html"
        command = [binary(), "bench", "report", *runs[:2], "--out", page]
        assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
        assert page.read_text().count("<svg") >= 4


if __name__ == "__main__":
    watchdog(number("BASALT_TIMEOUT", 900))
    suite.run().finish()
