"""Command-line clients, their settings and comparison of trees."""

import filecmp
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from basalt import PASSWORD, REGION, USER  # noqa: E402
from runner import Skip, number  # noqa: E402


def tool(name):
    """The path of a client: beside this python (a virtual environment), or on PATH."""
    beside = pathlib.Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise Skip(f"{name} is not installed")
    return found


def run(command, server, timeout_s=1800, **env):
    """Runs a client; its output is the error where it fails."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "RCLONE_"))}
    clean.update(
        AWS_ACCESS_KEY_ID=USER,
        AWS_SECRET_ACCESS_KEY=PASSWORD,
        AWS_DEFAULT_REGION=REGION,
        AWS_ENDPOINT_URL=server.endpoint,
        AWS_CONFIG_FILE=str(server.root / "no-aws-config"),
        AWS_SHARED_CREDENTIALS_FILE=str(server.root / "no-aws-credentials"),
        AWS_MAX_ATTEMPTS="1",
        AWS_PAGER="",
        HOME=str(server.root),
        RCLONE_CONFIG=str(server.root / "rclone.conf"),
        **env,
    )
    done = subprocess.run(
        command, env=clean, capture_output=True, text=True, timeout=timeout_s, cwd=server.root
    )
    output = (done.stdout[-2000:] + done.stderr[-2000:]).strip()
    assert done.returncode == 0, f"{' '.join(command)}: exit {done.returncode}\n{output}"
    return done.stdout


def aws(server, *arguments, **env):
    return run([tool("aws"), *arguments], server, **env)


def rclone(server, *arguments):
    path = server.root / "rclone.conf"
    path.write_text(
        "[basalt]\ntype = s3\nprovider = Other\nenv_auth = false\n"
        f"access_key_id = {USER}\nsecret_access_key = {PASSWORD}\nregion = {REGION}\n"
        f"endpoint = {server.endpoint}\nforce_path_style = true\n"
    )
    return run([tool("rclone"), "--retries", "1", "--low-level-retries", "1", *arguments], server)


def s3cmd(server, *arguments):
    path = server.root / "s3cfg"
    host = f"127.0.0.1:{server.port}"
    path.write_text(
        f"[default]\naccess_key = {USER}\nsecret_key = {PASSWORD}\nhost_base = {host}\n"
        f"host_bucket = {host}\nuse_https = False\nbucket_location = {REGION}\n"
        "signature_v2 = False\nmax_retries = 1\nprogress_meter = False\n"
    )
    return run([tool("s3cmd"), "-c", str(path), *arguments], server)


def real_tree(target, files):
    """Copies the first `files` regular files of /usr/share and /usr/lib, with their folders."""
    copied, size = 0, 0
    for source in ("/usr/share", "/usr/lib"):
        for folder, folders, names in os.walk(source):
            folders.sort()
            for name in sorted(names):
                path = pathlib.Path(folder) / name
                if copied == files:
                    return copied, size
                if not usable(path):
                    continue
                to = target / path.relative_to("/usr")
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, to)
                copied += 1
                size += to.stat().st_size
    raise AssertionError(f"only {copied} real files on this machine")


def usable(path):
    """Names every client takes: s3cmd and rclone map some control bytes."""
    if path.is_symlink() or not path.is_file() or not os.access(path, os.R_OK):
        return False
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return path.stat().st_size <= number("BASALT_FILE_MAX", 64 << 20)


def assert_identical(one, other):
    """Same relative names, same bytes."""
    names = [
        {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
        for root in (one, other)
    ]
    assert names[0] == names[1], (
        f"missing {sorted(names[0] - names[1])[:5]}, more {sorted(names[1] - names[0])[:5]}"
    )
    wrong = [name for name in sorted(names[0]) if not filecmp.cmp(one / name, other / name, False)]
    assert not wrong, f"{len(wrong)} files differ: {wrong[:5]}"
    return len(names[0])


def random_file(path, size_bytes):
    """A file of random bytes, made in pieces."""
    with open(path, "wb") as file:
        left = size_bytes
        while left:
            piece = os.urandom(min(left, 1 << 20))
            file.write(piece)
            left -= len(piece)
