#!/usr/bin/env python3
"""A thousand clients stall in the middle of 1 GiB uploads, a third each of plain bodies, unsigned
chunks and signed chunks: memory stays within 10 % of its setting while a fast client goes on, and
nothing of them is stored.

Each slow client sends its head and then as much of its body as the server takes, at most 64 MiB,
until nobody has taken anything for a second; from then on they only hold their connections. The
fast client writes and reads all the time; its rate before and meanwhile is printed. Memory is the
highest RSS the kernel has seen (VmHWM), from the start of the server on.

BASALT_STALLED (default 1000), BASALT_MEMORY_MIB (default 512, given as --memory), BASALT_SECONDS.
"""

import os
import pathlib
import resource
import selectors
import shutil
import socket
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE)]

from basalt import Server, watchdog  # noqa: E402
from payload import MIB  # noqa: E402
from runner import Skip, Suite, number  # noqa: E402
from sigv4 import STREAMING, STREAMING_UNSIGNED, UNSIGNED, Signer  # noqa: E402

CLIENTS = number("BASALT_STALLED", 1000)
MEMORY = number("BASALT_MEMORY_MIB", 512) * MIB
SECONDS = number("BASALT_SECONDS", 15)
BODY_BYTES, SENT_BYTES_MAX = 1 << 30, 64 * MIB
# Uploads that get a stripe reserve their whole length, and drives grow for it: 3+3 by default.
STRIPE_BYTES, DISK_PER_BODY = 9 * MIB // 4, 2 * BODY_BYTES


def peak_rss_bytes(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


# What a body begins with, by the way it is sent: chunks of which the stalled client owes the most.
BEGINNINGS = {
    UNSIGNED: "",
    STREAMING_UNSIGNED: f"{1 << 29:x}\r\n",
    STREAMING: f"{1 << 20:x};chunk-signature={'0' * 64}\r\n",
}
PIECE_BYTES = 256 * 1024


def sent_bytes_max(mode):
    """A signed chunk is never ended: its signature is wrong."""
    return MIB - PIECE_BYTES if mode == STREAMING else SENT_BYTES_MAX


def head_of(server, key, mode):
    signer = Signer()
    headers = {"host": f"127.0.0.1:{server.port}", "x-amz-date": signer.date}
    headers["x-amz-content-sha256"] = mode
    if mode != UNSIGNED:
        headers["x-amz-decoded-content-length"] = str(1 << 30)
    if mode == STREAMING_UNSIGNED:
        headers["x-amz-trailer"] = "x-amz-checksum-crc32"
    path = f"/stalled/{key}"
    headers["authorization"] = signer.authorization("PUT", path, (), headers, mode)[0]
    headers["content-length"] = str(BODY_BYTES + (MIB if mode != UNSIGNED else 0))
    head = f"PUT {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    return (head + "\r\n" + BEGINNINGS[mode]).encode()


class Slow:
    """Uploads that go on for as long as somebody takes their bytes."""

    def __init__(self, server):
        self.sent, self.limit, self.closed = {}, {}, 0
        modes = list(BEGINNINGS)
        self.selector = selectors.DefaultSelector()
        self.piece = os.urandom(PIECE_BYTES)
        for n in range(CLIENTS):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            # Little in this kernel's buffers: what was sent was taken by the server, or its socket.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
            mode = modes[n % len(modes)]
            connection.sendall(head_of(server, f"slow-{n}", mode))
            self.limit[connection] = sent_bytes_max(mode)
            connection.setblocking(False)
            self.sent[connection] = 0
            self.selector.register(connection, selectors.EVENT_WRITE)

    def send_until_stalled(self):
        last = time.monotonic()
        while time.monotonic() - last < 1 and self.selector.get_map():
            for key, _ in self.selector.select(0.2):
                if self._send(key.fileobj):
                    last = time.monotonic()

    def _send(self, connection):
        try:
            self.sent[connection] += connection.send(self.piece)
        except BlockingIOError:
            return False
        except OSError:
            self.closed += 1
            self.selector.unregister(connection)
            return False
        if self.sent[connection] >= self.limit[connection]:
            self.selector.unregister(connection)
        return True

    def close(self):
        for connection in self.sent:
            connection.close()


class Fast(threading.Thread):
    def __init__(self, server):
        super().__init__(daemon=True)
        self.client = server.client(timeout_s=60, expect=False)
        self.ended, self.rounds, self.slowest_s = threading.Event(), 0, 0

    def run(self):
        body = os.urandom(MIB)
        while not self.ended.is_set():
            begin = time.monotonic()
            self.client.put_object(Bucket="stalled", Key="fast", Body=body)
            got = self.client.get_object(Bucket="stalled", Key="fast")["Body"].read()
            assert got == body, "the fast client read what it did not write"
            self.rounds += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - begin)

    def rate(self, seconds):
        """Rounds a second from now on."""
        before, self.slowest_s = self.rounds, 0
        time.sleep(seconds)
        return (self.rounds - before) / seconds


def stall(server):
    needed = MEMORY // 4 // STRIPE_BYTES * DISK_PER_BODY
    free = shutil.disk_usage(server.root).free
    if free < needed + DISK_PER_BODY:
        raise Skip(f"{free >> 30} GiB of disk are free, {needed >> 30} GiB may be reserved")
    server.client().create_bucket(Bucket="stalled")
    fast = Fast(server)
    fast.start()
    alone = fast.rate(3)
    slow = Slow(server)
    slow.send_until_stalled()
    sent = sorted(slow.sent.values())
    rate = fast.rate(SECONDS)
    alive = fast.is_alive()
    fast.ended.set()
    fast.join(90)
    peak = peak_rss_bytes(server)
    print(f"  peak RSS {peak >> 20} MiB of {MEMORY >> 20}; the fast client's rounds a second: "
          f"{alone:.0f} alone, {rate:.0f} meanwhile, the slowest took {fast.slowest_s:.2f} s")
    print(f"  {len(sent)} uploads: {slow.closed} cut off, {sum(sent) >> 20} MiB taken in all, "
          f"of the middle one {sent[len(sent) // 2] >> 10} KiB, of the last {sent[0] >> 10} KiB")
    slow.close()
    assert alive, "the fast client failed"
    assert rate >= 1, f"only {rate:.1f} rounds a second of the fast client"
    assert peak <= MEMORY * 1.1, f"RSS {peak >> 20} MiB is above {MEMORY * 1.1 / MIB:.0f} MiB"
    listed = server.client().list_objects_v2(Bucket="stalled")["Contents"]
    assert [entry["Key"] for entry in listed] == ["fast"], listed[:5]
    assert server.alive() and not server.panics(), server.panics()[:3]


def main():
    watchdog(900)
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
