"""The built program as its user starts it: any arguments, what it says, what it leaves behind."""

import contextlib
import hashlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib")]

from basalt import PASSWORD, REGION, USER, _started, binary, wait_for  # noqa: E402

CREDENTIALS = {"BASALT_ROOT_USER": USER, "BASALT_ROOT_PASSWORD": PASSWORD}
SMALL = "--drive-size=256MiB"
ANY_PORT = "--address=127.0.0.1:0"
REFUSED = 2


def environment(extra):
    """Nothing of ours or AWS's but what is given."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "BASALT_"))}
    return {**kept, "RUST_BACKTRACE": "1", **extra}


@contextlib.contextmanager
def scratch():
    base = os.environ.get("BASALT_TEST_DIR")
    path = pathlib.Path(tempfile.mkdtemp(prefix="basalt-server-", dir=base))
    try:
        yield path
    finally:
        if not os.environ.get("BASALT_KEEP"):
            shutil.rmtree(path, ignore_errors=True)


def snapshot(root):
    """What lies below: path to mode, size and sum."""
    found = {}
    for path in sorted(pathlib.Path(root).rglob("*")):
        status, is_file = path.lstat(), path.is_file()
        data = hashlib.sha256(path.read_bytes()).hexdigest() if is_file else ""
        found[str(path.relative_to(root))] = (oct(status.st_mode), is_file and status.st_size, data)
    return found


def run(*args, env=None, timeout_s=60, **options):
    """A command that ends by itself."""
    return subprocess.run(
        [binary(), *map(str, args)], env=environment(env or {}), timeout=timeout_s,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, **options,
    )  # fmt: skip


class Program:
    """`basalt server` with these arguments; ends with the block."""

    def __init__(self, *args, env=CREDENTIALS, before=None, prefix=(), cwd=None):
        self.logs = pathlib.Path(tempfile.mkdtemp(prefix="basalt-log-"))
        command = [*prefix, binary(), "server", *map(str, args)]
        with open(self.logs / "out", "wb") as out, open(self.logs / "err", "wb") as err:
            self.process = subprocess.Popen(
                command, env=environment(env), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                preexec_fn=before, cwd=cwd,
            )  # fmt: skip
        _started.append(self.process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        shutil.rmtree(self.logs, ignore_errors=True)

    @property
    def printed(self):
        return (self.logs / "out").read_text(errors="replace")

    @property
    def log(self):
        return (self.logs / "err").read_text(errors="replace")

    def lines(self, *words):
        """Log lines that hold all of the words."""
        return [line for line in self.log.splitlines() if all(word in line for word in words)]

    def serving(self, timeout_s=30):
        """Waits until it serves."""

        def there():
            code = self.process.poll()
            assert code is None, f"it ended with {code}:\n{self.log}"
            return self.lines("serving")

        wait_for("the server serves", there, timeout_s)
        return self

    def addresses(self):
        return re.search(r"addresses=\"?([^\s\"]+)", self.serving().lines("serving")[0])[1].split(",")

    @property
    def port(self):
        return int(self.addresses()[0].rpartition(":")[2])

    @property
    def endpoint(self):
        return f"http://{self.addresses()[0]}"

    def signal(self, which=signal.SIGTERM):
        self.process.send_signal(which)

    def ended(self, timeout_s=45):
        return self.process.wait(timeout_s)

    def stop(self):
        self.signal()
        code = self.ended()
        assert code == 0, f"it ended with {code}:\n{self.log}"
        return code

    def get(self, path, host="127.0.0.1", port=None):
        connection = http.client.HTTPConnection(host, port or self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def client(self, user=USER, password=PASSWORD, **config):
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=user,
            aws_secret_access_key=password, region_name=REGION,
            config=Config(signature_version="s3v4", retries={"total_max_attempts": 1},
                          connect_timeout=5, read_timeout=60,
                          **{"s3": {"addressing_style": "path"}, **config}),
        )  # fmt: skip


def refused(root, args, *words, env=CREDENTIALS, code=REFUSED, timeout_s=60):
    """It must end with the code, one sentence with these words, and nothing touched."""
    before = snapshot(root)
    with Program(ANY_PORT, *args, env=env, cwd=root) as program:
        assert program.ended(timeout_s) == code, f"{program.process.returncode}: {program.log}"
        said = [line for line in program.log.splitlines() if line.startswith("basalt: ")]
        assert len(said) == 1, program.log
        for word in words:
            assert str(word) in said[0], f"{word!r} is not in {said[0]!r}"
        assert not program.printed, program.printed
    after = snapshot(root)
    changed = sorted(k for k in {*before, *after} if before.get(k) != after.get(k))
    # A growth that an earlier stop cut off left a file that holds nothing: whoever opens the drive
    # removes it.
    changed = [k for k in changed if not (str(k).endswith(".preparing") and k not in after)]
    assert not changed, f"changed: {changed[:5]}"


def pool(root, count, name="d"):
    """Arguments of a small pool of directories below `root`."""
    pattern = f"{root}/{name}{{1...{count}}}" if count > 1 else f"{root}/{name}1"
    return [SMALL, pattern]


def format_pool(root, count, name="d"):
    """A pool that was served once."""
    with Program(ANY_PORT, *pool(root, count, name)) as program:
        program.serving().stop()
