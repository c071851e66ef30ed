"""Runs the built server for a test: start, wait, stop, SIGKILL, status, logs.

Ends only processes it started, by pid. Every wait has a limit. The binary is BASALT_BIN
(default target/release/basalt); BASALT_ARGS adds arguments to every start.
"""

import atexit
import contextlib
import http.client
import importlib.util
import json
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
USER = "basalt-test-user"
PASSWORD = "basalt-test-password-0123456789"
REGION = "us-east-1"

# A drive's state in GET /-/status; tools/basalt/src/status.rs has the whole answer.
STATE_IN_SYNC = "in-sync"

_started = []


def _need_boto3():
    """Goes on under target/ci-venv where this python lacks boto3."""
    if importlib.util.find_spec("boto3"):
        return
    python = REPOSITORY / "target/ci-venv/bin/python3"
    if python.exists() and not os.environ.get("BASALT_IN_VENV"):
        os.environ["BASALT_IN_VENV"] = "1"
        os.execv(python, [str(python), *sys.argv])
    sys.exit(
        "boto3 is missing: python3 -m venv target/ci-venv && "
        "target/ci-venv/bin/pip install awscli boto3 s3cmd"
    )


_need_boto3()


def binary():
    path = pathlib.Path(os.environ.get("BASALT_BIN", REPOSITORY / "target/release/basalt"))
    if not path.exists():
        sys.exit(f"no server binary at {path}: run cargo build --release --locked, or set BASALT_BIN")
    return str(path)


def free_port():
    """Not one of those that connections of others take between two lives of a server."""
    while True:
        port = random.randrange(16384, 32768)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@atexit.register
def _end_started():
    for process in _started:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def watchdog(seconds):
    """Ends the whole test run with status 124 when it takes longer."""

    def expire():
        print(f"TIMEOUT: not done after {seconds} s", flush=True)
        _end_started()
        os._exit(124)

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def wait_for(what, condition, timeout_s, pause_s=0.05):
    """Polls until the condition holds; its last value is the answer."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s} s")
        time.sleep(pause_s)


class Server:
    """One server on directory drives below a scratch directory."""

    def __init__(self, drives=6, root=None, drive_root=None, args=(), env=None):
        scratch = os.environ.get("BASALT_TEST_DIR")
        self.keep = root is not None or bool(os.environ.get("BASALT_KEEP"))
        self.root = pathlib.Path(root or tempfile.mkdtemp(prefix="basalt-test-", dir=scratch))
        base = pathlib.Path(drive_root or self.root / "drives")
        self.drives = [base / f"d{number}" for number in range(1, drives + 1)]
        for drive in self.drives:
            drive.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.args = list(args) + shlex.split(os.environ.get("BASALT_ARGS", ""))
        self.env = dict(env or {})
        self.log_path = self.root / "server.log"
        self.process = None

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def spawn(self):
        """Starts the process without waiting for it."""
        assert self.process is None or self.process.poll() is not None, "it runs already"
        env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "BASALT_"))}
        env.update(BASALT_ROOT_USER=USER, BASALT_ROOT_PASSWORD=PASSWORD, RUST_BACKTRACE="1")
        env.update(self.env)
        command = [binary(), "server", "--address", f"127.0.0.1:{self.port}", *self.args]
        command += [str(drive) for drive in self.drives]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=self.root
            )
        _started.append(self.process)
        return self

    def start(self, timeout_s=60):
        """Starts and waits until ready; answers the seconds it took."""
        begin = time.monotonic()
        self.spawn()
        self.wait_ready(timeout_s)
        return time.monotonic() - begin

    def wait_ready(self, timeout_s=60):
        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(
                    f"the server ended with {self.process.returncode}:\n{self.log_tail()}"
                )
            return self.get("/-/health/ready", timeout_s=2)[0] == 200

        try:
            wait_for("the server is ready", ready, timeout_s, 0.02)
        except TimeoutError as error:
            raise TimeoutError(f"{error}:\n{self.log_tail()}") from None

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout_s=45):
        """SIGTERM; answers the exit code."""
        if not self.alive():
            return self.process.returncode if self.process else None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"SIGTERM did not end the server:\n{self.log_tail()}") from None

    def kill(self):
        """SIGKILL of this very process."""
        if self.alive():
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def close(self):
        if self.alive():
            self.kill()
        if not self.keep:
            shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def get(self, path, timeout_s=5):
        """(status, body) of a plain GET; (0, b"") where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def status(self):
        code, body = self.get("/-/status")
        if code != 200:
            raise RuntimeError(f"/-/status answered {code}")
        return json.loads(body)

    def drive_states(self):
        return {drive["path"]: drive["state"] for drive in self.status()["drives"]}

    def used_bytes(self):
        return sum(drive["used_bytes"] for drive in self.status()["drives"])

    def wait_in_sync(self, timeout_s=120):
        """Waits until every drive of this server is in sync; answers the seconds it took."""
        begin = time.monotonic()
        last = {}

        def done():
            last.update(self.drive_states())
            return len(last) >= len(self.drives) and set(last.values()) == {STATE_IN_SYNC}

        try:
            wait_for("all drives in sync", done, timeout_s, 0.2)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {last}") from None
        return time.monotonic() - begin

    def metric(self, pattern):
        """{sample name with labels: value} of the metrics that match."""
        code, body = self.get("/-/metrics", timeout_s=1)
        found = {}
        for line in body.decode(errors="replace").splitlines() if code == 200 else ():
            if line and not line.startswith("#") and re.search(pattern, line):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    def log_text(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines=40):
        return "\n".join(self.log_text().splitlines()[-lines:])

    def panics(self):
        """Log lines no test may leave behind."""
        bad = re.compile(r"panicked at|stack backtrace|SIGSEGV|SIGABRT|memory allocation of")
        return [line for line in self.log_text().splitlines() if bad.search(line)]

    def client(self, timeout_s=60, attempts=1, expect=True, **config):
        """A boto3 client that does not repeat requests by itself. Without `expect` it sends bodies
        at once: after an answer that came instead of '100 Continue' (to an empty body), botocore
        takes that status for the answer to the next request of the connection too."""
        import boto3
        from botocore.config import Config

        client = boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=USER,
            aws_secret_access_key=PASSWORD,
            region_name=REGION,
            config=Config(
                signature_version="s3v4",  # Presigned URLs too; boto3 would take version 2.
                retries={"total_max_attempts": attempts},
                connect_timeout=5,
                read_timeout=timeout_s,
                max_pool_connections=64,
                s3={"addressing_style": "path"},
                **config,
            ),
        )
        if not expect:
            client.meta.events.register("before-sign.s3", _send_at_once)
        return client


def _send_at_once(request, **_):
    if "Expect" in request.headers:
        del request.headers["Expect"]
