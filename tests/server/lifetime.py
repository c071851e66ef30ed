"""A server's life: signals, the service manager, exit codes, limits in time, the log."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
import urllib.parse

from program import ANY_PORT, CREDENTIALS, Program, pool, run, scratch
from basalt import PASSWORD, USER, wait_for

MIB = 1 << 20


class SlowPut:
    """A PUT of 1 MiB that gives a tenth of its body at a time."""

    def __init__(self, program):
        client = program.client()
        client.create_bucket(Bucket="slow")
        target = {"Bucket": "slow", "Key": "k"}
        url = urllib.parse.urlsplit(client.generate_presigned_url("put_object", Params=target))
        self.connection = socket.create_connection(("127.0.0.1", program.port), timeout=30)
        head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nhost: {url.netloc}\r\n"
        head += f"content-length: {MIB}\r\nexpect: 100-continue\r\n\r\n"
        self.connection.sendall(head.encode())
        # The request is under way only once the server asks for its body.
        assert self.connection.recv(4096).startswith(b"HTTP/1.1 100")
        self.left = MIB
        self.give()

    def give(self, bytes_max=MIB // 10):
        piece = min(self.left, bytes_max)
        self.connection.sendall(b"x" * piece)
        self.left -= piece

    def answer(self):
        with contextlib.suppress(ConnectionError):
            return self.connection.recv(4096)
        return b""


def the_first_signal_drains():
    for which in (signal.SIGTERM, signal.SIGINT):
        with scratch() as root, Program(ANY_PORT, *pool(root, 3)) as program:
            program.serving()
            put = SlowPut(program)
            program.signal(which)
            wait_for("it drains", lambda: program.lines("draining"), 10)
            time.sleep(0.5)
            assert program.process.poll() is None, "it did not wait for the request"
            put.give(MIB)
            assert put.answer().startswith(b"HTTP/1.1 200"), "the request was not answered"
            assert program.ended(10) == 0, program.log
            assert len(program.lines("draining")) == 1 and program.lines("stopped"), program.log


def the_drain_has_an_end():
    env = {**CREDENTIALS, "BASALT_TIMEOUTS__DRAIN": "1s"}
    with scratch() as root, Program(ANY_PORT, *pool(root, 3), env=env) as program:
        put = SlowPut(program.serving())
        begin = time.monotonic()
        program.signal()
        assert program.ended(20) == 0, program.log
        assert 0.9 <= time.monotonic() - begin < 8, time.monotonic() - begin
        assert put.answer() == b"" and program.lines("WARN", "cut off"), program.log


def the_second_signal_ends_at_once():
    with scratch() as root, Program(ANY_PORT, *pool(root, 3)) as program:
        put = SlowPut(program.serving())
        program.signal()
        wait_for("it drains", lambda: program.lines("draining"), 10)
        begin = time.monotonic()
        program.signal(signal.SIGINT)
        assert program.ended(5) == 130, program.log
        assert time.monotonic() - begin < 2 and put.answer() == b""
        assert run("--help").stdout.count("130  ended by a second signal") == 1


class Manager:
    """A service manager's socket."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.socket.settimeout(0.2)
        self.told, self.closed = [], False
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        while not self.closed:
            with contextlib.suppress(TimeoutError):
                self.told.append((time.monotonic(), self.socket.recv(256).decode()))

    def count(self, text):
        return sum(told == text for _, told in self.told)

    def close(self):
        self.closed = True
        self.thread.join(5)
        self.socket.close()


def the_service_manager_is_told():
    with scratch() as root:
        for name in (str(root / "notify"), f"@basalt-test-{os.getpid()}"):
            manager = Manager(name)
            env = {**CREDENTIALS, "NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"}
            with Program(ANY_PORT, *pool(root, 3), env=env) as program:
                program.serving()
                wait_for("READY", lambda: manager.count("READY=1") == 1, 5)
                begin = time.monotonic()
                wait_for("the watchdog", lambda: manager.count("WATCHDOG=1") >= 5, 10)
                assert time.monotonic() - begin <= 4, "the watchdog is late"
                assert manager.count("STOPPING=1") == 0
                program.stop()
                wait_for("STOPPING", lambda: manager.count("STOPPING=1") == 1, 5)
            manager.close()
            beats = [at for at, told in manager.told if told == "WATCHDOG=1"]
            gaps = [after - before for before, after in zip(beats, beats[1:])]
            assert max(gaps) < 1, f"a watchdog of 1 s would have bitten: {gaps}"
        env = {**CREDENTIALS, "NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
        manager = Manager(name)
        with Program(ANY_PORT, *pool(root, 3), env=env) as program:
            program.serving()
            time.sleep(1.5)
            program.stop()
        manager.close()
        assert manager.count("WATCHDOG=1") == 0, "the watchdog was another process's"


def commands_have_their_exit_codes():
    with scratch() as root, Program(ANY_PORT, *pool(root, 3)) as program:
        program.serving()
        ask = ["--endpoint", program.endpoint]
        replace = ["storage", "drive", "replace"]
        for code, args, env in (
            (0, ["status", *ask], {}), (0, ["config", "show"], {}), (0, ["--version"], {}),
            (2, ["nonsense"], {}), (2, ["status", "--endpoint", "https://x"], {}), (2, replace, {}),
            (2, [*replace, root / "d1", *ask], {}),
            (3, [*replace, root / "none", *ask], CREDENTIALS),
            (4, [*replace, root / "d1", *ask], {**CREDENTIALS, "BASALT_ROOT_PASSWORD": "wrong-wrong"}),
            (5, [*replace, root / "d1", *ask], CREDENTIALS),
            (6, ["status", "--endpoint", "http://127.0.0.1:1"], {}),
            (6, [*replace, root / "d1", "--endpoint", "http://192.0.2.1:9"], CREDENTIALS),
            (8, ["config", "check", "--config", root / "none.toml"], {}),
        ):  # fmt: skip
            answer = run(*args, env=env)
            assert answer.returncode == code, (code, args, answer)
            assert PASSWORD not in answer.stdout + answer.stderr
        program.stop()


def logs_are_text_or_json_and_hold_no_secret():
    with scratch() as root:
        for form in ("text", "json"):
            args = [ANY_PORT, f"--log-format={form}", "--log-level=trace", *pool(root, 3)]
            with Program(*args) as program:
                wait_for("it serves", lambda program=program: program.lines("serving"), 30)
                program.stop()
                for line in program.log.splitlines():
                    if form == "json":
                        event = json.loads(line)
                        assert {"time", "level", "message"} <= set(event), line
                        assert event["level"] in ("error", "warn", "info", "debug", "trace"), line
                    else:
                        assert line.split()[1] in ("ERROR", "WARN", "INFO", "DEBUG", "TRACE"), line
                assert PASSWORD not in program.log and USER not in program.log
                starts = program.lines("basalt starts")[0]
                for word in ("version", "commit", "drives", "kernel", "driver"):
                    assert word in starts, starts
                for word in ("sets", "ec"):
                    assert word in program.lines("serving")[0]
        with Program(ANY_PORT, "--log-level=error", *pool(root, 3)) as program:
            time.sleep(1)
            program.stop()
            assert program.log == "", program.log


def exchange(port, data, timeout_s=10):
    """(answer, seconds until the server closed)."""
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(data)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(4096):
                answer += piece
    return answer, time.monotonic() - begin


def connections_and_heads_have_limits():
    env = {**CREDENTIALS, "BASALT_TIMEOUTS__HEADER": "1s", "BASALT_TIMEOUTS__IDLE": "3s",
           "BASALT_LIMITS__CONNECTIONS": "6", "BASALT_LIMITS__REQUESTS": "1"}  # fmt: skip
    with scratch() as root, Program(ANY_PORT, *pool(root, 3), env=env) as program:
        port = program.serving().port
        live = b"GET /-/health/live HTTP/1.1\r\nhost: a\r\n\r\n"
        for data, least, most in ((live[:20], 0.8, 2.5), (b"", 2.5, 5), (live, 2.5, 5)):
            answer, seconds = exchange(port, data)
            assert least <= seconds <= most, (data, seconds)
            assert answer.startswith(b"HTTP/1.1 200") == (data == live), answer
        put = SlowPut(program)
        # On another gateway thread it may be heard of later than what follows.
        in_work = "\nbasalt_s3_requests_in_work 1\n"
        wait_for("the PUT is in work", lambda: in_work in program.get("/-/metrics")[1], 5)
        answer, _ = exchange(port, b"GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert b" 503 " in answer and b"<Code>SlowDown</Code>" in answer, answer
        assert program.get("/-/health/ready")[0] == 200
        put.connection.close()
        held = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(12)]
        time.sleep(0.3)
        first = []
        for connection in held:
            connection.sendall(live)
            with contextlib.suppress(ConnectionError):
                first.append(connection.recv(64)[9:12])
        assert 4 <= first.count(b"200") <= 6 and b"503" in first, first
        for connection in held:
            connection.close()
        program.stop()


CHECKS = [
    the_first_signal_drains, the_drain_has_an_end, the_second_signal_ends_at_once,
    the_service_manager_is_told, commands_have_their_exit_codes,
    logs_are_text_or_json_and_hold_no_secret, connections_and_heads_have_limits,
]  # fmt: skip
