#!/usr/bin/env python3
"""`basalt profile` on the machine it runs on: what it finds, says, writes, and leaves alone; and the
server, which obeys a profile (server.py) and a measured one (measure.py).

    tests/profile/run.py           # BASALT_ONLY=text: only checks whose name holds the text
"""

import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib")]

import measure  # noqa: E402
import server  # noqa: E402
from basalt import binary, watchdog  # noqa: E402
from loops import loop_devices  # noqa: E402
from runner import Suite, number  # noqa: E402

FAILED, USAGE, NOT_FOUND, DENIED, CONFLICT, CHECK_FAILED = 1, 2, 3, 4, 5, 8
PROBE_CPU_SECONDS_MAX = 2
SWAPPINESS = pathlib.Path("/proc/sys/vm/swappiness")
HEAD = """schema = 1
[profile]
name = "test"
source = "manual"
created = "2026-11-30"
"""
KNOBS = """[os]
scheduler = "none"
nomerges = 2
iostats = 1
write_cache = "through"
transparent_hugepage = "madvise"
swappiness = 1
somaxconn = 65535
"""

suite = Suite("profile")


def profile(*arguments, code=0):
    """What `basalt profile` prints to both streams; it must end with the code, or one of them."""
    codes = code if isinstance(code, tuple) else (code,)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "BASALT_"))}
    done = subprocess.run(
        [binary(), "profile", *map(str, arguments)], env=env, timeout=60,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode in codes, (arguments, done.returncode, done.stdout, done.stderr)
    assert "panicked" not in done.stderr, done.stderr
    return done.stdout, done.stderr


def rows(*arguments, code=0):
    """The rows of a check, by what was compared."""
    report = json.loads(profile("check", *arguments, "--format", "json", code=code)[0])
    assert report["schema"] == 1, report
    return {row["check"]: row for row in report["rows"]}


@contextlib.contextmanager
def scratch():
    base = os.environ.get("BASALT_TEST_DIR")
    path = pathlib.Path(tempfile.mkdtemp(prefix="basalt-profile-", dir=base))
    try:
        yield path
    finally:
        if not os.environ.get("BASALT_KEEP"):
            shutil.rmtree(path, ignore_errors=True)


def settings():
    """Values of the kernel that a tuner might touch, by file."""
    files = [SWAPPINESS, pathlib.Path("/proc/sys/net/core/somaxconn")]
    files.append(pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled"))
    for name in ("scheduler", "nomerges", "rq_affinity", "iostats", "add_random", "write_cache"):
        files += pathlib.Path("/sys/block").glob(f"*/queue/{name}")
    files += pathlib.Path("/sys/devices/system/cpu/cpufreq").glob("policy*/scaling_governor")
    found = {}
    for file in files:
        with contextlib.suppress(OSError):
            found[str(file)] = file.read_text()
    assert found, "nothing to compare"
    return found


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def probed(*drives):
    """The tree of the machine, which must be cheap to find."""
    before = cpu_seconds()
    out, _ = profile("probe", *drives)
    spent = cpu_seconds() - before
    print(f"  {spent * 1000:.0f} ms of CPU", flush=True)
    assert spent < PROBE_CPU_SECONDS_MAX, spent
    return out


@suite.check
def a_probe_shows_the_machine_and_a_directory():
    with scratch() as root:
        out = probed(root)
        kernel = pathlib.Path("/proc/sys/kernel/osrelease").read_text().strip()
        for said in ("machine ", "cpu ", "memory ", f"kernel {kernel}", f"drive    {root}"):
            assert said in out, (said, out)
        assert "fingerprint fnv1a:" in out, out
        assert list(root.iterdir()) == [], "a probe writes nothing"
        found = json.loads(profile("probe", root, "--format", "json")[0])
        assert found["drives"][0]["kind"] == "directory", found["drives"]
        assert found["system"]["kernel"] == kernel
        # A drive that is not there yet is said to be missing, and judged by its place.
        out, err = profile("probe", root / "absent")
        assert "absent is not there yet" in err and f"{root}/absent" in out, (out, err)


@suite.check
def a_probe_follows_a_loop_device():
    with scratch() as root, loop_devices(root, [64 << 20]) as [(device, file)]:
        name = pathlib.Path(device).name
        out = probed(device)
        assert f"device   {name} loop" in out and f"loop:{file}" in out, out
        draft = root / "loop.toml"
        profile("probe", device, "--out", draft)
        assert f"loop:{file}" in draft.read_text(), draft.read_text()
        found = rows(draft, device)
        assert found[f"drive loop:{file}"]["verdict"] == "OK", found
        # Another model than the one that was written down.
        draft.write_text(draft.read_text().replace('model = "loop"', 'model = "other"'))
        changed = rows(draft, device)[f"drive loop:{file}"]
        assert changed["verdict"] == "WARN" and changed["wanted"] == "other", changed


@suite.check
def a_draft_holds_on_its_own_machine():
    with scratch() as root:
        draft = root / "Own Machine.toml"
        profile("probe", root, "--out", draft)
        assert 'name = "own-machine"' in draft.read_text()
        found = rows(draft, root)
        assert found["CPUs online"]["verdict"] == "OK", found
        assert found["fingerprint"]["verdict"] == "OK", found
        assert all(row["verdict"] != "FAIL" for row in found.values()), found
        out, _ = profile("check", draft, root)
        assert "profile own-machine: " in out and " 0 FAIL" in out, out
        printed, _ = profile("probe", root, "--format", "toml")
        renamed = printed.replace('name = "machine"', 'name = "own-machine"')
        assert renamed == draft.read_text(), (printed, draft.read_text())
        assert "own-machine" in profile("show", draft)[0]


@suite.check
def nothing_is_overwritten_unasked():
    with scratch() as root:
        for command in (["probe", "--out"], ["tune", "generic", "--script"]):
            file = root / f"{command[0]}.toml"
            file.write_text("precious")
            _, err = profile(*command, file, code=CONFLICT)
            assert "--force" in err and str(file) in err, err
            assert file.read_text() == "precious"
            profile(*command, file, "--force")
            assert file.read_text() != "precious"


@suite.check
def an_edited_field_is_named():
    with scratch() as root:
        draft, edited = root / "own.toml", root / "edited.toml"
        profile("probe", root, "--out", draft)
        text = draft.read_text()
        count = int(re.search(r"^cpus = (\d+)$", text, re.M)[1])
        for pattern, line, check in (
            (r"^cpus = \d+$", f"cpus = {count + 1}", "CPUs online"),
            (r"^cpu_model = .*$", 'cpu_model = "Abacus"', "CPU model"),
            (r"^kernel = .*$", 'kernel = "2.4.0"', "kernel"),
            (r"^fingerprint = .*$", 'fingerprint = "fnv1a:0"', "fingerprint"),
        ):
            changed, times = re.subn(pattern, line, text, flags=re.M)
            if not times:
                print(f"  this machine does not say its {check}", flush=True)
                continue
            edited.write_text(changed)
            row = rows(edited, root)[check]
            assert row["verdict"] == "WARN" and row["reason"], row
            out, _ = profile("check", edited, root)
            assert re.search(rf"^WARN +{check} ", out, re.M), out
            out, _ = profile("diff", draft, edited, code=CHECK_FAILED)
            assert len(out.splitlines()) == 2, out


@suite.check
def what_cannot_be_kept_to_fails():
    with scratch() as root:
        file = root / "p.toml"
        file.write_text(HEAD + '[layout]\nshard_cpus = "8000"\n')
        row = rows(file, root, code=CHECK_FAILED)["layout.shard_cpus"]
        assert row["verdict"] == "FAIL" and "8000" in row["reason"], row
        file.write_text(
            HEAD + '[[class]]\nname = "fast"\nmodel = "Fast"\n'
            '[[device]]\nwwid = "eui.absent"\nclass = "fast"\n'
        )
        out, _ = profile("check", file, root, code=CHECK_FAILED)
        assert re.search(r"^FAIL +drive eui\.absent +missing", out, re.M), out


@suite.check
def a_preset_is_chosen_with_a_warning():
    with scratch() as root:
        out, err = profile("check", root)
        chosen = re.search(r"^profile (\S+): ", out, re.M)[1]
        assert "THIS MACHINE IS UNKNOWN" in err if chosen == "generic" else chosen in err, err
        out, _ = profile("presets")
        names = {line.split(" ")[0] for line in out.splitlines()}
        assert {"generic", "dev-loop", "aws-i4i"} <= names, names
        assert "this machine would get: " in out, out


@suite.check
def presets_are_shown_and_compared():
    out, _ = profile("show", "aws-i4i")
    assert "Amazon EC2" in out and "class i4i-" in out and "https://" not in out, out
    assert "https://" in profile("show", "aws-i4i", "--sources")[0]
    out, _ = profile("diff", "aws-i4i", "aws-i3en", code=CHECK_FAILED)
    assert "machine.product" in out and "i4i" in out and "i3en" in out, out
    assert "no difference" in profile("diff", "generic", "generic")[0]
    with scratch() as root:
        file = root / "p.toml"
        file.write_text(HEAD + KNOBS)
        assert "no difference" in profile("diff", file, file)[0]


@suite.check
def garbage_is_refused_and_the_field_named():
    with scratch() as root:
        file = root / "p.toml"
        for text, *words in (
            ("schema = 1\nb = = 2\n", "line 2"),
            (b"\x00\xff\xfe", "UTF-8"),
            ("", "schema"),
            ("schema = 2\nnew_field = 1\n", "schema 2", "schema 1"),
            (HEAD + "[runtime]\nring_entires = 8\n", "`runtime.ring_entires`", "ring_entries"),
            (HEAD + "[machine]\ncpus = \"many\"\n", "`machine.cpus`"),
            (HEAD + "[os]\nnomerges = 9\n", "`os.nomerges`", "9"),
            (HEAD + "[os]\nscheduler = \"none; reboot\"\n", "`os.scheduler`"),
            (HEAD.replace("manual", "preset") + "[os]\nnomerges = 2\n", "`os.nomerges`", "source"),
            ("#" * (1 << 20) + "\n", "more than"),
        ):
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
            for command in (["show"], ["check"], ["tune"], ["diff", "generic"]):
                out, err = profile(*command, file, code=USAGE)
                said = [line for line in err.splitlines() if "p.toml" in line]
                assert not out and said, (command, out, err)
                for word in words:
                    assert word in err, (word, err)
        for absent, word in (("aws-i9", "`aws-i9`"), (root / "none.toml", "none.toml")):
            for command in ("show", "check", "tune"):
                _, err = profile(command, absent, code=NOT_FOUND)
                assert word in err, err
        profile("check", "generic", f"{root}/d{{3...1}}", code=USAGE)
        profile("tune", "generic", "--only", "drives", code=USAGE)
        profile("tune", "--revert", "--apply", code=USAGE)


@suite.check
def a_dry_run_changes_nothing():
    with scratch() as root:
        file, log = root / "p.toml", root / "log.toml"
        file.write_text(HEAD + KNOBS)
        before = settings()
        out, _ = profile("tune", file, "--log", log)
        assert settings() == before
        assert not log.exists()
        for said in ("swappiness", "somaxconn", "nothing was changed"):
            assert said in out, (said, out)
        # Only where a drive is in use that the kernel has a queue for.
        if "write_cache" in out:
            assert re.search(r"^refused +\S+ write_cache", out, re.M), out
        out, _ = profile("tune", file, "--only", "net", "--log", log)
        assert "somaxconn" in out and "swappiness" not in out, out
        out, _ = profile("tune", "generic")
        assert "wants no setting" in out, out
        assert settings() == before


@suite.check
def a_script_is_one_for_the_shell():
    with scratch() as root:
        file, script = root / "p.toml", root / "tune.sh"
        file.write_text(HEAD + KNOBS)
        before = settings()
        profile("tune", file, "--script", script)
        assert os.access(script, os.X_OK), oct(script.stat().st_mode)
        text = script.read_text()
        assert text.startswith("#!/bin/sh\n") and "# swappiness: " in text, text
        checked = subprocess.run(["sh", "-n", script], capture_output=True, text=True, timeout=60)
        assert checked.returncode == 0, checked.stderr
        assert settings() == before


@suite.check
def what_is_set_can_be_taken_back():
    with scratch() as root:
        file, log = root / "p.toml", root / "log.toml"
        before = SWAPPINESS.read_text().strip()
        wanted = str(int(before) - 1 if int(before) > 0 else 1)
        file.write_text(f"{HEAD}[os]\nswappiness = {wanted}\n")
        apply = ["tune", file, "--apply", "--log", log]
        profile("tune", "--revert", "--log", log, code=NOT_FOUND)
        if not os.access(SWAPPINESS, os.W_OK):
            # Not root; or root of a container, for whom the file system is read-only.
            _, err = profile(*apply, code=(FAILED, DENIED) if os.geteuid() == 0 else DENIED)
            assert os.geteuid() == 0 or "only root may set swappiness" in err, err
            assert SWAPPINESS.read_text().strip() == before and not log.exists()
            return
        try:
            profile(*apply)
            assert SWAPPINESS.read_text().strip() == wanted
            assert f'before = "{before}"' in log.read_text(), log.read_text()
            out, _ = profile(*apply)
            assert "nothing was changed" in out, out
            out, _ = profile("tune", "--revert", "--log", log)
            assert "taken back" in out, out
            assert SWAPPINESS.read_text().strip() == before
            assert "the log is empty" in profile("tune", "--revert", "--log", log)[0]
        finally:
            if SWAPPINESS.read_text().strip() != before:
                SWAPPINESS.write_text(before)


if __name__ == "__main__":
    watchdog(number("BASALT_TIMEOUT", 330))
    for check in [*server.CHECKS, *measure.CHECKS]:
        suite.check(check)
    suite.run().finish()
