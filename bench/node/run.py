#!/usr/bin/env python3
"""What one node costs: CPU time of the server process per operation, and RAM per object.

    bench/node/run.py                        # 2 million objects of 4 KiB; half an hour, 40 GB of disk
    BASALT_OBJECTS=100000 bench/node/run.py  # a short look

Starts the release build on six directory drives (4+2). Clients sign each request themselves and
share the CPUs with the server, so rates are shown only beside; the figures are user and system time
of the server process. Where `perf` is there, it samples each phase and the symbols that cost most
are printed.
"""

import multiprocessing
import os
import pathlib
import random
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "lib"))

from basalt import Server, watchdog  # noqa: E402
from payload import MIB  # noqa: E402
from runner import number  # noqa: E402
from sigv4 import UNSIGNED, Signer, quote  # noqa: E402

OBJECTS = number("BASALT_OBJECTS", 2_000_000)
SAMPLE = number("BASALT_SAMPLE", 200_000)
LARGE = number("BASALT_LARGE", 40)
PROCESSES, CONNECTIONS = 4, 16
SMALL_BYTES, LARGE_BYTES = 4096, 64 * MIB
PAGES = 500
TICKS = os.sysconf("SC_CLK_TCK")


def key_of(index):
    """Spread over a thousand prefixes, as logs and images are."""
    return f"{index % 1000:03}/object-{index:09}"


class Client:
    """Some connections that each have one request under way."""

    def __init__(self, port):
        self.host = f"127.0.0.1:{port}"
        self.signer = Signer()
        self.signed_at = time.monotonic()
        self.sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
        for connection in self.sockets:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def head(self, method, path, query, body_bytes):
        if time.monotonic() - self.signed_at > 60:
            self.signer.refresh()
            self.signed_at = time.monotonic()
        headers = {
            "host": self.host, "x-amz-content-sha256": UNSIGNED, "x-amz-date": self.signer.date
        }  # fmt: skip
        value, _ = self.signer.authorization(method, path, query, headers, UNSIGNED)
        line = path + ("?" + "&".join(f"{k}={quote(v)}" for k, v in query) if query else "")
        lines = [f"{method} {line} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        lines += [f"authorization: {value}", f"content-length: {body_bytes}", "", ""]
        return "\r\n".join(lines).encode()

    def round(self, requests):
        """Sends up to one request on each connection, then reads all answers; their last bytes."""
        used = self.sockets[: len(requests)]
        for connection, (method, path, query, body) in zip(used, requests):
            connection.sendall(self.head(method, path, query, len(body)) + body)
        return [answer(connection) for connection in used]


def answer(connection):
    """Reads an answer whose length is declared, or chunked; dies of anything but success."""
    data = connection.recv(65536)
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    if head[9:10] != b"2":
        sys.exit(f"answered {head[:300]!r} {body[:300]!r}")
    declared = re.search(rb"(?i)content-length: (\d+)", head)
    if declared:
        left = int(declared[1]) - len(body)
        while left > 0:
            data = connection.recv(min(left, 1 << 20))
            left -= len(data)
    else:
        while not body.endswith(b"0\r\n\r\n"):
            body += connection.recv(1 << 20)
    return body


def put_small(port, worker, first, count):
    client = Client(port)
    body = random.Random(worker).randbytes(SMALL_BYTES)
    indexes = range(first + worker, first + count, PROCESSES)
    for at in range(0, len(indexes), CONNECTIONS):
        chosen = indexes[at : at + CONNECTIONS]
        client.round([("PUT", f"/bench/{key_of(i)}", [], body) for i in chosen])


def get_small(port, worker, first, count):
    client, chance = Client(port), random.Random(worker)
    for _ in range(count // PROCESSES // CONNECTIONS):
        chosen = [first + chance.randrange(OBJECTS) for _ in range(CONNECTIONS)]
        client.round([("GET", f"/bench/{key_of(i)}", [], b"") for i in chosen])


def list_pages(port, worker, first, count):
    client, chance = Client(port), random.Random(worker)
    for _ in range(count // PROCESSES):
        after = key_of(first + chance.randrange(OBJECTS))
        query = [("list-type", "2"), ("max-keys", "1000"), ("start-after", after)]
        client.round([("GET", "/bench", query, b"")])


def put_large(port, worker, first, count):
    client = Client(port)
    body = random.Random(worker).randbytes(LARGE_BYTES)
    for index in range(worker, count, PROCESSES):
        client.round([("PUT", f"/bench-large/{first + index}", [], body)])


def get_large(port, worker, first, count):
    client = Client(port)
    for index in range(worker, count, PROCESSES):
        client.round([("GET", f"/bench-large/{first + index}", [], b"")])


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def costliest(data):
    """The symbols that took most of the samples."""
    command = ["perf", "report", "-i", data, "--stdio", "--no-children", "-s", "symbol", "-q"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=300).stdout
    lines = [line.strip() for line in text.splitlines() if "%" in line]
    return [re.sub(r"\s+", " ", line)[:110] for line in lines[:14]]


def phase(server, name, work, unit, count, unit_count):
    """Runs the work in its processes; prints what the server spent on it."""
    folder = tempfile.mkdtemp(prefix="basalt-perf-")
    data = f"{folder}/perf.data"
    sampler = None
    if shutil.which("perf"):
        command = ["perf", "record", "-q", "-F", "199", "-e", "cpu-clock", "-o", data, "-p"]
        sampler = subprocess.Popen([*command, str(server.process.pid)], stderr=subprocess.DEVNULL)
        time.sleep(0.5)
    begin, before = time.monotonic(), cpu_seconds(server.process.pid)
    workers = [
        multiprocessing.Process(target=work, args=(server.port, number, 0, count))
        for number in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        if worker.exitcode != 0:
            sys.exit(f"{name}: a client ended with {worker.exitcode}")
    seconds, spent = time.monotonic() - begin, cpu_seconds(server.process.pid) - before
    scale, word = (1e6, "us") if unit == "operation" else (1.0, "s")
    print(
        f"{name}: {scale * spent / unit_count:.2f} CPU-{word} per {unit}; "
        f"{unit_count / seconds:.0f} {unit}s/s beside the clients, RSS {resident_mib(server):.0f} MiB",
        flush=True,
    )
    if sampler:
        sampler.terminate()
        sampler.wait(60)
        print("".join(f"    {line}\n" for line in costliest(data)), end="", flush=True)
    shutil.rmtree(folder, ignore_errors=True)


def index_bytes(server):
    return sum(server.metric("^basalt_drive_index_memory_bytes").values())


def main():
    watchdog(7200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    args = ["--parity", "2", "--memory", "2GiB", "--drive-size", "12GiB"]
    with Server(drives=6, args=args) as server:
        server.start()
        client = Client(server.port)
        for bucket in ("bench", "bench-large"):
            client.round([("PUT", f"/{bucket}", [], b"")])
        empty_mib, empty_index = resident_mib(server), index_bytes(server)
        gigabytes = LARGE * LARGE_BYTES / 1e9
        phase(server, "64 MiB PUT", put_large, "GB", LARGE, gigabytes)
        phase(server, "64 MiB GET", get_large, "GB", LARGE, gigabytes)
        phase(server, f"4 KiB PUT, {OBJECTS} objects", put_small, "operation", OBJECTS, OBJECTS)
        million = OBJECTS / 1e6
        grown = (index_bytes(server) - empty_index) / 2**20
        print(
            f"RAM with {OBJECTS} objects: index {grown / million:.1f} MiB per million objects over "
            f"all drives, RSS {empty_mib:.0f} MiB when empty and {resident_mib(server):.0f} MiB now",
            flush=True,
        )
        sample = min(SAMPLE, OBJECTS)
        phase(server, f"4 KiB GET of {OBJECTS}", get_small, "operation", sample, sample)
        phase(server, f"LIST of 1000 of {OBJECTS}", list_pages, "operation", PAGES, PAGES)
        begin = time.monotonic()
        server.stop()
        print(f"stopped in {time.monotonic() - begin:.1f} s", flush=True)
        print(f"started again in {server.start(300):.1f} s", flush=True)


if __name__ == "__main__":
    main()
