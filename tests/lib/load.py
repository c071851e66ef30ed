"""A multi-threaded load whose every effect can be checked afterwards.

Each thread owns keys: their history is a sequence of attempts, each acknowledged, refused or of
unknown outcome. A value read must be the last acknowledged one or a later attempt of unknown
outcome; a deleted object never comes back. Shared keys are counters raised by conditional PUTs of
all threads: each base may have one successor only, and no acknowledged step is lost.
"""

import random
import threading
import time

from botocore.exceptions import ClientError, EndpointConnectionError
from payload import KIB, MIB, SIZES, identity, payload, verify

ABSENT = "absent"
REFUSED = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "404", "412", "409"}
BUSY = {"SlowDown", "ServiceUnavailable", "503", "RequestTimeout"}


class Key:
    """What is known of one owned key."""

    def __init__(self, name):
        self.name = name
        self.generation = 0
        self.acked = ABSENT
        self.unknown = []  # (value, life) of attempts that may hold.

    def settle(self, value):
        """After a restart nothing is in flight: what was read is what holds."""
        self.acked = value
        self.unknown = []


class Counter:
    """What is known of one shared key: `bases` maps an ETag to the one that replaced it."""

    def __init__(self, name):
        self.name = name
        self.lock = threading.Lock()
        self.bases = {}
        self.acked = 0
        self.attempted = set()


class Load:
    def __init__(self, server, bucket, seed=1, threads=8, keys=20, counters=4, sizes=None):
        self.server, self.bucket = server, bucket
        self.sizes = sizes or SIZES
        self.random = random.Random(seed)
        self.owned = [
            [Key(f"owned/{thread}/{number:03d}") for number in range(keys)]
            for thread in range(threads)
        ]
        self.counters = [Counter(f"shared/{number}") for number in range(counters)]
        self.violations = []
        self.done = {}
        self.answers = {}
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.threads = []
        self.life = 0
        self.expect_5xx = False
        self.client = None  # Made once: making one costs 100 ms of CPU.
        self.small = [size for size in self.sizes if 1 < size <= 16 * KIB + 1] or [4 * KIB]

    # Running it.

    def start(self):
        self.stopping.clear()
        self.life += 1
        self.client = self.client or self.server.client(timeout_s=40)
        self.threads = [
            threading.Thread(target=self._thread, args=(n, self.random.random()), daemon=True)
            for n in range(len(self.owned))
        ]
        for thread in self.threads:
            thread.start()

    def stop(self, timeout_s=90):
        self.stopping.set()
        deadline = time.monotonic() + timeout_s
        for thread in self.threads:
            thread.join(max(0.1, deadline - time.monotonic()))
            if thread.is_alive():
                raise TimeoutError("a load thread does not end")
        self.threads = []

    def run(self, seconds):
        self.start()
        self.stopping.wait(seconds)
        self.stop()

    def violate(self, text):
        with self.lock:
            self.violations.append(f"life {self.life}: {text}")

    def count(self, table, name):
        with self.lock:
            table[name] = table.get(name, 0) + 1

    def _thread(self, number, seed):
        rng = random.Random(seed)
        client = self.client
        operations = [
            (self._put, 34), (self._delete, 12), (self._copy, 12), (self._read, 18),
            (self._multipart, 4), (self._raise, 16), (self._create_once, 4),
        ]  # fmt: skip
        actions = [action for action, _ in operations]
        weights = [weight for _, weight in operations]
        while not self.stopping.is_set():
            action = rng.choices(actions, weights)[0]
            try:
                alive = action(client, rng, self.owned[number])
            except Exception as error:  # noqa: BLE001 - a broken check is a finding too
                self.violate(f"{action.__name__}: {error!r}")
                alive = True
            if not alive:
                self.stopping.wait(0.05)

    # One request and its outcome: 'done', 'refused' or 'unknown', and the answer.

    def _ask(self, name, call):
        try:
            answer = call()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            self.count(self.answers, f"{status} {code}")
            if code in REFUSED:
                return "refused", code
            if code in BUSY or (status >= 500 and self.expect_5xx):
                return "unknown", code
            self.violate(f"{name}: unexpected answer {status} {code}")
            return "unknown", code
        except EndpointConnectionError:
            return "refused", "no connection"
        except Exception as error:  # noqa: BLE001 - every broken connection leaves it unknown
            self.count(self.answers, type(error).__name__)
            return "unknown", repr(error)
        if isinstance(answer, dict) and not answer["ResponseMetadata"]["HTTPHeaders"]:
            # A reset discards what the client had not read of an answer; botocore goes on without.
            self.count(self.answers, "head cut off")
            return "unknown", "head cut off"
        self.count(self.done, name)
        return "done", answer

    def _attempt(self, name, key, value, call):
        outcome, answer = self._ask(name, call)
        if outcome == "done":
            key.acked = value
            key.unknown = [old for old in key.unknown if old[1] == self.life]
        elif outcome == "unknown":
            key.unknown.append((value, self.life))
        return outcome, answer

    def _values(self, key):
        return {key.acked} | {value for value, _ in key.unknown}

    # Operations on owned keys.

    def _put(self, client, rng, keys):
        key = rng.choice(keys)
        key.generation += 1
        ident = identity(key.name, key.generation, rng.choice(self.sizes))
        body = payload(ident)
        outcome, _ = self._attempt(
            "put", key, ident,
            lambda: client.put_object(
                Bucket=self.bucket, Key=key.name, Body=body, Metadata={"id": ident}
            ),
        )  # fmt: skip
        if outcome == "done" and rng.random() < 0.3:
            self._check_key(client, key)
        return outcome != "unknown"

    def _delete(self, client, rng, keys):
        key = rng.choice(keys)
        outcome, _ = self._attempt(
            "delete", key, ABSENT, lambda: client.delete_object(Bucket=self.bucket, Key=key.name)
        )
        if outcome == "done":
            self._check_key(client, key)
        return outcome != "unknown"

    def _copy(self, client, rng, keys):
        source, target = rng.sample(keys, 2)
        if source.unknown or target.unknown:
            return self._read(client, rng, [source])
        value = source.acked
        outcome, answer = self._attempt(
            "copy", target, value,
            lambda: client.copy_object(
                Bucket=self.bucket, Key=target.name,
                CopySource={"Bucket": self.bucket, "Key": source.name},
            ),
        )  # fmt: skip
        if outcome == "done" and value == ABSENT:
            self.violate(f"copy of the absent {source.name} succeeded")
        if outcome == "refused" and value != ABSENT and answer != "no connection":
            self.violate(f"copy of {source.name} ({value}) was refused: {answer}")
        return outcome != "unknown"

    def _multipart(self, client, rng, keys):
        key = rng.choice(keys)
        key.generation += 1
        size = 5 * MIB + rng.choice([1, 4096, 16385, 100 * 1024])
        ident = identity(key.name, key.generation, size)
        body = payload(ident)
        common = {"Bucket": self.bucket, "Key": key.name}
        outcome, answer = self._ask(
            "create upload",
            lambda: client.create_multipart_upload(**common, Metadata={"id": ident}),
        )
        if outcome != "done":
            return outcome == "refused"
        upload = {**common, "UploadId": answer["UploadId"]}
        parts = []
        for number, piece in ((1, body[: 5 * MIB]), (2, body[5 * MIB :])):
            outcome, answer = self._ask(
                "part",
                lambda number=number, piece=piece: client.upload_part(
                    **upload, PartNumber=number, Body=piece
                ),
            )
            if outcome != "done":
                return outcome == "refused"
            if "ETag" not in answer:
                self.violate(f"{key.name}: a part was taken without an ETag: {answer}")
                return False
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        if rng.random() < 0.15:
            return self._ask("abort", lambda: client.abort_multipart_upload(**upload))[0] == "done"
        outcome, _ = self._attempt(
            "complete", key, ident,
            lambda: client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}),
        )  # fmt: skip
        return outcome != "unknown"

    def _read(self, client, rng, keys):
        return self._check_key(client, rng.choice(keys))

    def _check_key(self, client, key):
        before = self._values(key)
        outcome, value = self.read_value(client, key.name)
        if outcome == "done" and value not in before:
            self.violate(f"{key.name} read {value}, may be {sorted(before)}")
        return outcome != "unknown"

    def read_value(self, client, name):
        """The id stored at a key after its bytes were verified, or ABSENT."""

        def get():
            answer = client.get_object(Bucket=self.bucket, Key=name)
            return answer["Metadata"].get("id"), answer["Body"].read()

        outcome, answer = self._ask("get", get)
        if outcome == "refused":
            return ("done", ABSENT) if answer in ("NoSuchKey", "404") else ("unknown", None)
        if outcome == "unknown":
            return outcome, None
        ident, body = answer
        wrong = verify(ident, body)
        if wrong:
            self.violate(f"{name}: {wrong}")
        return "done", ident

    # Operations on shared keys.

    def _raise(self, client, rng, _keys):
        counter = rng.choice(self.counters)
        with counter.lock:
            floor = counter.acked
        outcome, answer = self._ask(
            "head", lambda: client.head_object(Bucket=self.bucket, Key=counter.name)
        )
        if outcome == "unknown" or answer == "no connection":
            return False
        base, step = ("none", 0) if outcome == "refused" else self._counter_state(answer)
        if step < floor:
            self.violate(f"{counter.name} read step {step} after {floor} was acknowledged")
        ident = identity(f"{counter.name}/{rng.getrandbits(64)}", step + 1, rng.choice(self.small))
        condition = {"IfNoneMatch": "*"} if base == "none" else {"IfMatch": base}
        with counter.lock:
            counter.attempted.add(ident)
        outcome, answer = self._ask(
            "raise",
            lambda: client.put_object(
                Bucket=self.bucket, Key=counter.name, Body=payload(ident),
                Metadata={"id": ident, "step": str(step + 1)}, **condition,
            ),
        )  # fmt: skip
        if outcome == "done":
            with counter.lock:
                if base in counter.bases:
                    self.violate(f"{counter.name}: two successors of {base} were acknowledged")
                if "ETag" not in answer:
                    self.violate(f"{counter.name}: an answer without an ETag: {answer}")
                counter.bases[base] = answer.get("ETag")
                counter.acked = max(counter.acked, step + 1)
        elif outcome == "refused":
            with counter.lock:
                counter.attempted.discard(ident)
        return outcome != "unknown"

    @staticmethod
    def _counter_state(answer):
        if "ETag" not in answer:
            raise AssertionError(f"an answer without an ETag: {answer}")
        return answer["ETag"], int(answer["Metadata"].get("step", -1))

    def _create_once(self, client, rng, keys):
        """If-None-Match: * on an owned key: refused exactly where an object is."""
        key = rng.choice(keys)
        if key.unknown:
            return self._check_key(client, key)
        key.generation += 1
        ident = identity(key.name, key.generation, rng.choice(self.small))
        was = key.acked
        outcome, answer = self._attempt(
            "create once", key, ident,
            lambda: client.put_object(
                Bucket=self.bucket, Key=key.name, Body=payload(ident),
                Metadata={"id": ident}, IfNoneMatch="*",
            ),
        )  # fmt: skip
        if outcome == "done" and was != ABSENT:
            self.violate(f"If-None-Match replaced {was} at {key.name}")
        if outcome == "refused" and was == ABSENT and answer == "PreconditionFailed":
            self.violate(f"If-None-Match was refused at the absent {key.name}")
        return outcome != "unknown"

    # Checking everything while nothing runs.

    def check(self, settle=True):
        """Reads every key, compares the listing, answers how many keys were read."""
        client = self.server.client(timeout_s=60, attempts=3)
        present = set()
        every = [key for keys in self.owned for key in keys]
        for key in every:
            outcome, value = self.read_value(client, key.name)
            if outcome != "done":
                self.violate(f"{key.name} cannot be read")
                continue
            if value not in self._values(key):
                self.violate(f"{key.name} holds {value}, may be {sorted(self._values(key))}")
            if value != ABSENT:
                present.add(key.name)
            if settle:
                key.settle(value)
        for counter in self.counters:
            if self._check_counter(client, counter):
                present.add(counter.name)
        try:
            self._check_listing(client, present)
        except ClientError as error:
            self.violate(f"the listing failed: {error}")
        return len(every) + len(self.counters)

    def _check_counter(self, client, counter):
        outcome, value = self.read_value(client, counter.name)
        if outcome != "done":
            self.violate(f"{counter.name} cannot be read")
            return False
        step = 0 if value == ABSENT else int(value.split(".")[1])
        if step < counter.acked:
            self.violate(f"{counter.name} is at step {step}, {counter.acked} was acknowledged")
        if value != ABSENT and value not in counter.attempted:
            self.violate(f"{counter.name} holds {value}, which nobody wrote or which was refused")
        counter.acked = max(counter.acked, step)
        return value != ABSENT

    def _check_listing(self, client, present):
        listed = set()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            for entry in page.get("Contents", []):
                listed.add(entry["Key"])
        for name in sorted(listed - present):
            self.violate(f"{name} is listed but not there")
        for name in sorted(present - listed):
            self.violate(f"{name} is there but not listed")

    def summary(self):
        done = ", ".join(f"{count} {name}" for name, count in sorted(self.done.items()))
        other = ", ".join(f"{count} x {name}" for name, count in sorted(self.answers.items()))
        return f"done: {done}\nother answers: {other or 'none'}"
