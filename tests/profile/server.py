"""The server obeys a profile. Profiles that differ from one in a single field are given to one pool
after the other, and what that field is about changes: affinities of threads, counters of drives.
"""

import concurrent.futures
import contextlib
import functools
import os
import pathlib
import re
import shutil
import subprocess
import time

from basalt import PASSWORD, USER, Server, binary, wait_for
from runner import Skip

MIB = 1 << 20
USAGE, CHECK_FAILED = 2, 8
DRIVES = 4
BUCKET = "obeyed"
SETTINGS = ["--parity=2", "--drive-size=256MiB"]
# A cell is written as it is, so that the split alone decides what it becomes.
LARGE_CELLS = {"BASALT_STORAGE__CELL_BYTES": "1MiB"}
# Drives are reported each second.
REPORTED_S = 1.2
READERS, OBJECTS, OBJECT_BYTES = 8, 8, 4 * MIB
HEAD = """schema = 1
[profile]
name = "obeyed"
source = "manual"
created = "2026-11-30"
"""


def basalt(*args, **env):
    """Runs a command that ends by itself."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "BASALT_"))}
    keys = {"BASALT_ROOT_USER": USER, "BASALT_ROOT_PASSWORD": PASSWORD}
    return subprocess.run(
        [binary(), *map(str, args)], env={**kept, **keys, **env}, timeout=60,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip


def two_cpus():
    """Two CPUs of this process; a profile cannot be disobeyed where there is one only."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise Skip("two CPUs are needed")
    return cpus[:2]


def text_of(drives, **changed):
    """A profile for these drives. Each keyword is one field that differs from the base."""
    first, second = two_cpus()
    field = {
        "header": "", "machine": "", "shard_cpus": f"{first},{second}", "gateway_cpus": first,
        "control_cpus": first, "shards": [None] * len(drives), "read_depth": 64,
        "write_depth": 64, "split_bytes": MIB, "background_share": 0.2, **changed,
    }  # fmt: skip
    identities = [f"path:{pathlib.Path(drive).resolve()}" for drive in drives]
    lines = [HEAD + field["header"], field["machine"], "[layout]"]
    lines += [f'{name} = "{field[name]}"' for name in ("shard_cpus", "gateway_cpus", "control_cpus")]
    for identity, shard in zip(identities, field["shards"]):
        if shard is not None:
            lines += ["[[layout.drive]]", f'wwid = "{identity}"', f"shard = {shard}"]
    lines += ["[[class]]", 'name = "test"', 'model = "of no machine"', "[class.budget]"]
    lines += [f"read_queue_depth_max = {field['read_depth']}"]
    lines += [f"write_queue_depth_max = {field['write_depth']}"]
    lines += [f"split_bytes = {field['split_bytes']}"]
    lines += [f"background_share = {field['background_share']}"]
    for identity in identities:
        lines += ["[[device]]", f'wwid = "{identity}"', 'class = "test"']
    return "\n".join(lines) + "\n"


class Pool:
    """A small pool that is served under one profile after the other."""

    def __init__(self, drives=DRIVES, **env):
        self.server = Server(drives=drives, args=SETTINGS, env=env)
        self.drives = self.server.drives
        self.args = self.server.args
        self.said_before = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()

    @contextlib.contextmanager
    def obeying(self, **changed):
        """Under the base profile, or one that differs from it in these fields."""
        file = self.server.root / "obeyed.toml"
        file.write_text(text_of(self.drives, **changed))
        with self.started("--profile", file):
            yield self

    @contextlib.contextmanager
    def started(self, *args):
        self.said_before = len(self.server.log_text())
        self.server.args = [*self.args, *map(str, args)]
        self.server.start()
        yield self
        assert self.server.stop() == 0, self.log()
        assert not self.server.panics(), self.log()

    def log(self):
        """What this life has said."""
        return self.server.log_text()[self.said_before :]

    def lines(self, *words):
        return [line for line in self.log().splitlines() if all(word in line for word in words)]

    def metrics(self, family):
        """{labels: value} of one family; all are there as soon as the server is ready."""
        found = wait_for("metrics", lambda: self.server.metric("^basalt_"), 10)
        samples = [(*name.partition("{"), value) for name, value in found.items()]
        return {
            labels.rstrip("}"): value
            for name, _, labels, value in samples
            if name == f"basalt_{family}"
        }

    def by_drive(self, family):
        """Values in the order of the drives."""
        found = self.metrics(f"drive_{family}")
        return [
            next(value for labels, value in found.items() if f'drive="{drive}"' in labels)
            for drive in self.drives
        ]

    def rise(self, family, action):
        """By how much a counter of all drives rises while something is done."""
        time.sleep(REPORTED_S)
        before = sum(self.by_drive(family))
        action()
        time.sleep(REPORTED_S)
        return sum(self.by_drive(family)) - before

    def affinities(self):
        """{name of thread: CPUs of each thread of that name}. Linux keeps 15 bytes of a name, so
        that all gateways have one."""
        found = {}
        for task in pathlib.Path(f"/proc/{self.server.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                status = (task / "status").read_text()
                name = re.search(r"^Name:\s*(\S+)", status, re.M)[1]
                cpus = re.search(r"^Cpus_allowed_list:\s*(\S+)", status, re.M)[1]
                found.setdefault(name, []).append(cpus)
        return {name: sorted(cpus) for name, cpus in found.items()}

    def pinned(self, *groups):
        """CPUs of the threads whose names begin with each of these."""
        threads = self.affinities().items()
        return [
            sorted(cpu for name, cpus in threads if name.startswith(group) for cpu in cpus)
            for group in groups
        ]

    def show_pinned(self, changed):
        """Says which CPUs the threads have under a profile that differs in this."""
        names = ("basalt-shard-0", "basalt-shard-1", "basalt-gateway", "basalt-control")
        found = ", ".join(f"{name[7:]} {cpus}" for name, cpus in zip(names, self.pinned(*names)))
        print(f"  {changed}: CPUs of {found}", flush=True)

    def in_threads(self, call):
        """Calls with a client and each number of an object, some at once."""
        client = self.server.client()
        with concurrent.futures.ThreadPoolExecutor(READERS) as threads:
            list(threads.map(lambda number: call(client, number), range(OBJECTS)))

    def write(self):
        def put(client, number):
            body = bytes([number]) * OBJECT_BYTES
            client.put_object(Bucket=BUCKET, Key=f"k{number}", Body=body)

        self.in_threads(put)

    def read(self):
        def get(client, number):
            body = client.get_object(Bucket=BUCKET, Key=f"k{number}")["Body"].read()
            assert body == bytes([number]) * OBJECT_BYTES, f"k{number} differs"

        self.in_threads(get)

    def most_at_once(self, word, action):
        """The most `reads` or `writes` that were at one drive, after an action that wants several.
        In a slow hour they may come one by one, so it is done until they do not, if they may."""
        (limit,) = set(self.by_drive(f"{word.rstrip('s')}_queue_depth_max"))
        for _ in range(1 if limit == 1 else 10):
            action()
            time.sleep(REPORTED_S)
            most = max(self.by_drive(f"in_flight_{word}_max"))
            assert 1 <= most <= limit, (most, limit)
            if most > 1:
                break
        return most


def cpus_of_each_group_are_where_the_profile_has_them():
    first, second = map(str, two_cpus())
    groups = ("basalt-shard-0", "basalt-shard-1", "basalt-gateway", "basalt-control")
    with Pool() as pool:
        with pool.obeying():
            pool.show_pinned("the base profile")
            assert pool.pinned(*groups) == [[first], [second], [first], [first]], pool.affinities()
            assert pool.metrics("shard_cpu") == {'shard="0"': int(first), 'shard="1"': int(second)}
            assert pool.metrics("gateway_cpu") == {'gateway="0"': int(first)}
            assert pool.metrics("control_cpu") == {f'cpu="{first}"': 1}
            said = pool.lines("INFO", "hardware profile", "profile=obeyed", "source=manual")
            assert len(said) == 1 and f"shard_cpus={first},{second}" in said[0], pool.log()
            assert len(pool.lines("INFO", "drive limits", "class=test")) == DRIVES, pool.log()
        with pool.obeying(shard_cpus=second):
            pool.show_pinned(f"shard_cpus = {second}")
            assert pool.pinned(*groups) == [[second], [], [first], [first]], pool.affinities()
            assert pool.metrics("shard_cpu") == {'shard="0"': int(second)}
        with pool.obeying(gateway_cpus=f"{first},{second}"):
            pool.show_pinned(f"gateway_cpus = {first},{second}")
            expected = [[first], [second], [first, second], [first]]
            assert pool.pinned(*groups) == expected, pool.affinities()
        with pool.obeying(control_cpus=second):
            pool.show_pinned(f"control_cpus = {second}")
            assert pool.pinned(*groups) == [[first], [second], [first], [second]], pool.affinities()


def drives_are_with_the_shards_of_the_profile():
    _, second = two_cpus()
    with Pool() as pool:
        for shards in ([0, 1, 0, 1], [1, 1, 0, 1]):
            with pool.obeying(shards=shards):
                print(f"  shard = {shards}: {pool.by_drive('shard')} in the metrics", flush=True)
                assert pool.by_drive("shard") == shards
                pool.server.client().list_buckets()
                said = pool.lines("drive limits", f"drive={pool.drives[0]} ")
                assert f" shard={shards[0]} " in said[0], said
        # A shard without a drive is not started, and the other moves up with its CPU.
        with pool.obeying(shards=[1] * DRIVES):
            assert pool.by_drive("shard") == [0] * DRIVES
            shards = pool.pinned("basalt-shard-0", "basalt-shard-1")
            assert shards == [[str(second)], []], pool.affinities()
            assert len(pool.lines("WARN", "own no drive")) == 1, pool.log()


def settings_are_stronger_than_the_profile():
    with Pool() as pool:
        file = pool.server.root / "obeyed.toml"
        file.write_text(text_of(pool.drives))
        with pool.started("--profile", file, "--shards=1", "--gateways=2"):
            assert pool.by_drive("shard") == [0] * DRIVES
            assert len(pool.metrics("shard_cpu")) == 1 and len(pool.metrics("gateway_cpu")) == 2
            for setting in ("shards", "gateways"):
                assert len(pool.lines("INFO", f"`{setting}` is", "the setting holds")) == 1, pool.log()


def no_more_is_at_a_drive_than_the_profile_allows():
    def most(word):
        found = pool.most_at_once(word, pool.write if word == "writes" else pool.read)
        (limit,) = set(pool.by_drive(f"{word.rstrip('s')}_queue_depth_max"))
        waited = sum(pool.by_drive("waited_total"))
        print(f"  {limit:.0f} {word} allowed: {found:.0f} at once, {waited:.0f} waited", flush=True)
        return found

    with Pool() as pool:
        with pool.obeying():
            pool.server.client().create_bucket(Bucket=BUCKET)
            assert pool.by_drive("read_queue_depth_max") == [64] * DRIVES
            assert pool.by_drive("write_queue_depth_max") == [64] * DRIVES
            assert most("writes") > 1 and most("reads") > 1
        with pool.obeying(read_depth=1):
            assert pool.by_drive("read_queue_depth_max") == [1] * DRIVES
            assert most("reads") == 1 and sum(pool.by_drive("waited_total")) > 0
        with pool.obeying(write_depth=1):
            assert pool.by_drive("write_queue_depth_max") == [1] * DRIVES
            assert most("writes") == 1 and sum(pool.by_drive("waited_total")) > 0


def larger_writes_are_split_as_the_profile_has_it():
    writes = {}
    with Pool(**LARGE_CELLS) as pool:
        for split_bytes in (MIB, MIB // 16):
            with pool.obeying(split_bytes=split_bytes):
                assert pool.by_drive("split_bytes") == [split_bytes] * DRIVES
                client = pool.server.client()
                if not writes:
                    client.create_bucket(Bucket=BUCKET)
                target = {"Bucket": BUCKET, "Key": "k", "Body": bytes(8 * MIB)}
                upload = functools.partial(client.put_object, **target)
                writes[split_bytes] = pool.rise("writes_total", upload)
    print(f"  writes of 8 MiB by split: {writes}", flush=True)
    assert writes[MIB // 16] >= 3 * writes[MIB], writes


def background_work_has_the_share_of_the_profile():
    """Many keys of a lost drive are rebuilt at a time: with a small share they wait for each other."""
    seen = {}
    with Pool() as pool:
        with pool.obeying():
            pool.server.client().create_bucket(Bucket=BUCKET)
            pool.write()
        lost = pool.drives[0]
        for share in (0.01, 1):
            shutil.rmtree(lost)
            lost.mkdir()
            with pool.obeying(background_share=share):
                assert pool.by_drive("background_share") == [share] * DRIVES
                replace = ["storage", "drive", "replace", "--endpoint", pool.server.endpoint, lost]
                done = basalt(*replace)
                assert done.returncode == 0, done
                pool.server.wait_in_sync(60)
                time.sleep(REPORTED_S)
                counters = ("background_ios_total", "background_bytes_total", "waited_total")
                seen[share] = {name: sum(pool.by_drive(name)) for name in counters}
    print(f"  a rebuild, by share: {seen}", flush=True)
    for counted in seen.values():
        # Half of each object was on the drive; it is read from others before it is written.
        assert counted["background_bytes_total"] >= OBJECTS * OBJECT_BYTES // 2, seen
        assert counted["background_ios_total"] > 0, seen
    assert seen[0.01]["waited_total"] > seen[1]["waited_total"], seen


def drift_is_logged_and_counted():
    drift = {}
    facts = {"header": 'fingerprint = "fnv1a:0"', "machine": "[machine]\ncpus = 7999"}
    with Pool() as pool:
        for name, changed in (("base", {}), ("facts", facts), ("cpus", {"control_cpus": "8000"})):
            with pool.obeying(**changed):
                drift[name] = pool.metrics("profile_drift")
                (labels,) = pool.metrics("profile_info")
                known = "differs" if name == "facts" else "unknown"
                assert f'chosen="given",fingerprint="{known}"' in labels, labels
                told = len(pool.lines("WARN", "not as the profile has it", "verdict=WARN"))
                assert told == drift[name]['severity="warn"'] or told == 10, pool.log()
                if name == "facts":
                    assert pool.lines("CPUs online", "wanted=7999"), pool.log()
                    assert pool.lines("fingerprint", "wanted=fnv1a:0"), pool.log()
                if name == "cpus":
                    said = pool.lines("WARN", "`layout.control_cpus`", "(8000)")
                    assert len(said) == 1 and "the default is kept" in said[0], pool.log()
                    assert pool.metrics("control_cpu") == {}
        warn, fail = 'severity="warn"', 'severity="fail"'
        assert drift["base"][fail] == 0 and drift["cpus"][fail] == 1, drift
        assert drift["facts"][warn] == drift["base"][warn] + 2, drift


def without_a_profile_the_defaults_are_kept_to():
    with Pool() as pool:
        for args, name, who in (((), None, "auto"), (("--profile", "none"), "none", "given"),
                                (("--profile=generic",), "generic", "given")):  # fmt: skip
            with pool.started(*args):
                (labels,) = pool.metrics("profile_info")
                assert f'chosen="{who}"' in labels, labels
                assert name is None or f'name="{name}"' in labels, labels
                assert pool.by_drive("read_queue_depth_max") == [64] * DRIVES
                assert pool.by_drive("split_bytes") == [MIB] * DRIVES
                unknown = pool.lines("WARN", "THIS MACHINE IS UNKNOWN")
                assert len(unknown) == ('name="generic"' in labels and who == "auto"), pool.log()
    with Pool(drives=0) as pool:
        pool.args = ["--dev", str(pool.server.root / "trial")]
        with pool.started():
            assert len(pool.lines("hardware profile")) == 1, pool.log()
            assert not pool.lines("UNKNOWN") and not pool.lines("drive limits"), pool.log()


def what_is_no_profile_is_refused_before_anything_is_written():
    def refused(code, args, words, **env):
        done = basalt(*args, **env)
        assert done.returncode == code, (args, done.returncode, done.stderr)
        assert "panicked" not in done.stderr and not done.stdout, (done.stdout, done.stderr)
        for word in words:
            assert word in done.stderr, (word, done.stderr)

    with Pool() as pool:
        root, file = pool.server.root, pool.server.root / "p.toml"
        drives = [*pool.drives[1:], root / "drives" / "new"]
        server = ["server", "--address=127.0.0.1:0", *SETTINGS]
        given = [*server, "--profile", file, *drives]
        right = text_of(drives)
        refused(USAGE, given, ["p.toml", "cannot be read", "--profile"])
        for text, words in (
            ("schema = 1\nb = = 2\n", ["p.toml, line 2"]),
            (right + "[runtime]\nring_entires = 8\n", ["p.toml", "`runtime.ring_entires`"]),
            (text_of(drives, split_bytes=5000), ["p.toml", "`class.test.budget.split_bytes`", "5000"]),
            (text_of(drives, background_share=0), ["p.toml", "`class.test.budget.background_share`"]),
            (text_of(drives, shards=[2, 0, 0, 0]), ["p.toml", "`layout.drive.shard`", "0 to 1"]),
            (text_of(drives, shard_cpus="3-1"), ["p.toml", "`layout.shard_cpus`"]),
        ):
            file.write_text(text)
            refused(USAGE, given, words)
            refused(USAGE, [*server, *drives], words, BASALT_PROFILE=str(file))
        unknown = ["`profile`", "`aws-i9`", "aws-i4i"]
        refused(USAGE, [*server, "--profile=aws-i9", *drives], unknown)
        refused(CHECK_FAILED, ["config", "check"], unknown, BASALT_PROFILE="aws-i9")
        refused(USAGE, [*server[:2], "--profile", file, "--dev", root / "trial"], ["p.toml"])
        assert not drives[-1].exists() and not (root / "trial").exists()
        assert all(list(drive.iterdir()) == [] for drive in pool.drives), "something was written"


CHECKS = [
    cpus_of_each_group_are_where_the_profile_has_them, drives_are_with_the_shards_of_the_profile,
    settings_are_stronger_than_the_profile, no_more_is_at_a_drive_than_the_profile_allows,
    larger_writes_are_split_as_the_profile_has_it, background_work_has_the_share_of_the_profile,
    drift_is_logged_and_counted, without_a_profile_the_defaults_are_kept_to,
    what_is_no_profile_is_refused_before_anything_is_written,
]  # fmt: skip
