#!/usr/bin/env python3
"""A thousand clients stall in the middle of 1 GiB uploads, a third each of plain bodies, unsigned
chunks and signed chunks: memory stays within 10 % of its setting while a fast client goes on, and
nothing of them is stored.

BASALT_STALLED (default 1000), BASALT_MEMORY_MIB (default 512, given as --memory).
"""

import os
import pathlib
import resource
import socket
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE)]

from basalt import Server, watchdog  # noqa: E402
from payload import MIB  # noqa: E402
from runner import Suite, number  # noqa: E402
from sigv4 import STREAMING, STREAMING_UNSIGNED, UNSIGNED, Signer  # noqa: E402

CLIENTS = number("BASALT_STALLED", 1000)
MEMORY = number("BASALT_MEMORY_MIB", 512) * MIB
SECONDS = number("BASALT_SECONDS", 15)


def rss_bytes(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


# What a body begins with, by the way it is sent: chunks of which the stalled client owes the most.
BEGINNINGS = {
    UNSIGNED: "",
    STREAMING_UNSIGNED: f"{1 << 29:x}\r\n",
    STREAMING: f"{1 << 20:x};chunk-signature={'0' * 64}\r\n",
}


def begin_upload(server, key, mode):
    """The head of a 1 GiB PUT and as much of its body as is taken without waiting."""
    signer = Signer()
    headers = {"host": f"127.0.0.1:{server.port}", "x-amz-date": signer.date}
    headers["x-amz-content-sha256"] = mode
    if mode != UNSIGNED:
        headers["x-amz-decoded-content-length"] = str(1 << 30)
    if mode == STREAMING_UNSIGNED:
        headers["x-amz-trailer"] = "x-amz-checksum-crc32"
    path = f"/stalled/{key}"
    headers["authorization"] = signer.authorization("PUT", path, (), headers, mode)[0]
    headers["content-length"] = str((1 << 30) + (1 << 20))
    head = f"PUT {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    connection.sendall((head + "\r\n" + BEGINNINGS[mode]).encode())
    connection.setblocking(False)
    piece, sent = os.urandom(64 * 1024), 0
    try:
        # Less than a signed chunk, whose signature is wrong.
        while sent < (MIB - len(piece) if mode == STREAMING else 8 * MIB):
            sent += connection.send(piece)
    except (BlockingIOError, ConnectionError):
        pass
    return connection


def fast_client(server, ended, done):
    client = server.client(timeout_s=60)
    body = os.urandom(MIB)
    while not ended.is_set():
        client.put_object(Bucket="stalled", Key="fast", Body=body)
        assert client.get_object(Bucket="stalled", Key="fast")["Body"].read() == body
        done.append(time.monotonic())


def stall(server):
    server.client().create_bucket(Bucket="stalled")
    ended, done = threading.Event(), []
    fast = threading.Thread(target=fast_client, args=(server, ended, done), daemon=True)
    modes = list(BEGINNINGS)
    connections = [begin_upload(server, f"slow-{n}", modes[n % 3]) for n in range(CLIENTS)]
    fast.start()
    peak, deadline = 0, time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        peak = max(peak, rss_bytes(server))
        time.sleep(0.1)
    alive = fast.is_alive()
    ended.set()
    fast.join(90)
    for connection in connections:
        connection.close()
    print(f"  peak RSS {peak >> 20} MiB of {MEMORY >> 20}, {len(done)} fast rounds in {SECONDS} s")
    assert alive, "the fast client failed"
    assert len(done) >= SECONDS, f"only {len(done)} rounds of the fast client"
    assert peak <= MEMORY * 1.1, f"RSS {peak >> 20} MiB is above {MEMORY * 1.1 / MIB:.0f} MiB"
    listed = server.client().list_objects_v2(Bucket="stalled")["Contents"]
    assert [entry["Key"] for entry in listed] == ["fast"], listed[:5]
    assert server.alive() and not server.panics(), server.panics()[:3]


def main():
    watchdog(600)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = CLIENTS * 2 + 512
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
    suite = Suite("badinput/stalled")
    with Server(args=["--memory", f"{MEMORY // MIB}MiB"]) as server:
        server.start()
        suite.run_one(f"{CLIENTS} stalled uploads", stall, server)
    suite.finish()


if __name__ == "__main__":
    main()
