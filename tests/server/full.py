"""A full store: it says so, reads and deletes go on, and what deletes free is taken again."""

import hashlib
import http.client
import random
import re
import threading
import time

import program  # noqa: F401 - puts tests/lib on the path

from basalt import Server
from sigv4 import UNSIGNED, Signer

# Small segments, so that these small drives have many.
ARGS = ["--parity", "2", "--drive-size", "256MiB"]
ENVIRONMENT = {"BASALT_STORAGE__SEGMENT_BYTES": "4MiB", "BASALT_STORAGE__MEMTABLE_BYTES": "1MiB"}
SIZES = (100, 1000, 4096, 10_000, 16_384, 40_000)
THREADS, ROUNDS = 6, 3
# A store that makes room says 503 meanwhile, and clients try again.
PATIENCE_SECONDS = 60
FULL = (507, "XMinioStorageFull")


class Client:
    """One connection; answers are (status, code, body)."""

    def __init__(self, server):
        self.host = f"127.0.0.1:{server.port}"
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def ask(self, method, path, body=b""):
        signer = Signer()
        headers = {"host": self.host, "x-amz-content-sha256": UNSIGNED, "x-amz-date": signer.date}
        value, _ = signer.authorization(method, path, [], headers, UNSIGNED)
        headers["authorization"] = value
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        body = response.read()
        code = re.search(rb"<Code>(\w+)</Code>", body) if response.status >= 300 else None
        return response.status, code[1].decode() if code else "", body

    def patiently(self, method, path, body=b""):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self.ask(method, path, body)
            if answer[0] != 503 or time.monotonic() > deadline:
                return answer
            time.sleep(0.05)


def content(name, size):
    seed = hashlib.sha256(name.encode()).digest()
    return (seed * (size // len(seed) + 1))[:size]


class Filler:
    """Objects of many sizes, written by a few clients until enough were taken or refused."""

    def __init__(self, server):
        self.server = server
        self.objects = {}
        self.next = 0
        self.lock = threading.Lock()

    def in_threads(self, work):
        failures = []

        def run(index):
            try:
                work(Client(self.server), random.Random(index))
            except BaseException as error:  # noqa: BLE001 - told to whoever waits
                failures.append(error)

        threads = [threading.Thread(target=run, args=(index,)) for index in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures[0]

    def put(self, client, size):
        """Writes one more object; its answer."""
        with self.lock:
            self.next += 1
            name = f"object-{self.next}"
        status, code, _ = client.patiently("PUT", f"/full/{name}", content(name, size))
        if status == 200:
            with self.lock:
                self.objects[name] = size
        return status, code

    def fill(self):
        """Writes objects until each client was refused a few times in a row, for drives are not
        full all at once; gives how many were taken."""
        before = len(self.objects)

        def work(client, chance):
            refused = 0
            while refused < 5:
                answer = self.put(client, chance.choice(SIZES))
                assert answer == FULL or answer[0] == 200, answer
                refused = refused + 1 if answer == FULL else 0

        self.in_threads(work)
        return len(self.objects) - before

    def refill(self, sizes):
        """Writes an object of each size; gives how many were taken."""
        before, sizes = len(self.objects), list(sizes)

        def work(client, _):
            while True:
                with self.lock:
                    if not sizes:
                        return
                    size = sizes.pop()
                answer = self.put(client, size)
                assert answer == FULL or answer[0] == 200, answer

        self.in_threads(work)
        return len(self.objects) - before

    def delete(self, names):
        left = list(names)

        def work(client, _):
            while True:
                with self.lock:
                    if not left:
                        return
                    name = left.pop()
                answer = client.patiently("DELETE", f"/full/{name}")
                assert answer[0] == 204, answer
                with self.lock:
                    del self.objects[name]

        self.in_threads(work)

    def check(self, share):
        """Reads some of the objects; the bytes are right."""
        names = random.Random(len(self.objects)).sample(sorted(self.objects), share)
        client = Client(self.server)
        for name in names:
            status, code, body = client.ask("GET", f"/full/{name}")
            assert (status, body) == (200, content(name, self.objects[name])), (name, status, code)


def a_full_store_says_so_and_takes_again_what_deletes_free():
    chance = random.Random(7)
    with Server(drives=4, args=ARGS, env=ENVIRONMENT) as server:
        server.start()
        assert Client(server).ask("PUT", "/full")[0] == 200
        filler = Filler(server)
        filler.fill()
        print(f"  full with {len(filler.objects)} objects", flush=True)
        filler.check(300)
        assert Client(server).ask("HEAD", "/full")[0] == 200
        assert Client(server).ask("GET", "/full")[2].count(b"<Key>") == 1000
        for number in range(ROUNDS):
            half = chance.sample(sorted(filler.objects), len(filler.objects) // 2)
            sizes = [filler.objects[name] for name in half]
            filler.delete(half)
            if number > 0:
                assert server.stop() == 0
                server.start()
            taken = filler.refill(sizes)
            print(f"  {len(half)} deleted, {taken} of as many taken again", flush=True)
            filler.check(300)
            assert taken == len(half)
        print(f"  and {filler.fill()} more", flush=True)
        filler.delete(sorted(filler.objects))
        assert Client(server).ask("DELETE", "/full")[0] == 204
        assert server.stop() == 0 and not server.panics()


CHECKS = [a_full_store_says_so_and_takes_again_what_deletes_free]
