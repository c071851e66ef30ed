"""A multi-threaded load whose every effect can be checked afterwards.

Each thread owns keys: their history is a sequence of attempts, each acknowledged, refused or of
unknown outcome. A value read must be the last acknowledged one or a later attempt of unknown
outcome; a deleted object never comes back; a listing names exactly what is there. Shared keys
(`shared.py`) are raced for by all threads, and every key's whole history is checked.
"""

import random
import threading
import time

from botocore.exceptions import ClientError, EndpointConnectionError
from history import DONE, REFUSED, UNKNOWN
from payload import KIB, MIB, SIZES, identity, payload, verify
from shared import Shared

ABSENT = "absent"
NO_CONNECTION = "no connection"
REFUSALS = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "404", "412", "409"}
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

    def values(self):
        return {self.acked} | {value for value, _ in self.unknown}


class Load:
    def __init__(self, server, bucket, seed=1, threads=8, keys=12, shared=6, sizes=None):
        self.server, self.bucket = server, bucket
        self.sizes = sizes or SIZES
        self.random = random.Random(seed)
        self.owned = [
            [Key(f"owned/{thread}/{number:03d}") for number in range(keys)]
            for thread in range(threads)
        ]
        self.shared = Shared(self, shared)
        self.violations = []
        self.done = {}
        self.answers = {}
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.threads = []
        self.life = 0
        self.expect_5xx = False  # Any 5xx may come.
        self.expect_busy = True  # 503 and its like may come.
        self.last_done, self.gap_s = 0, 0  # The longest time without any success since `start`.
        self.client = None  # Made once: making one costs 100 ms of CPU.
        self.small = [size for size in self.sizes if size <= 16 * KIB + 1] or [4 * KIB]

    # Running it.

    def start(self):
        self.stopping.clear()
        self.life += 1
        self.last_done, self.gap_s = time.monotonic(), 0
        self.client = self.client or self.server.client(timeout_s=40, expect=False)
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
            (self._put, 20), (self._delete, 7), (self._copy, 8), (self._read, 10),
            (self._multipart, 3), (self._create_once, 4), (self._list, 3), (self.shared.act, 45),
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

    # One request and its outcome: DONE, REFUSED or UNKNOWN, and the answer.

    def ask(self, name, call):
        try:
            answer = call()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            self.count(self.answers, f"{status} {code}")
            if code in REFUSALS:
                return REFUSED, code
            if (code in BUSY and self.expect_busy) or (status >= 500 and self.expect_5xx):
                return UNKNOWN, code
            self.violate(f"{name}: unexpected answer {status}: {error}")
            return UNKNOWN, code
        except EndpointConnectionError:
            return REFUSED, NO_CONNECTION
        except Exception as error:  # noqa: BLE001 - every broken connection leaves it unknown
            self.count(self.answers, type(error).__name__)
            if not self.expect_busy:
                self.violate(f"{name}: {error!r}")
            return UNKNOWN, repr(error)
        if isinstance(answer, dict) and not answer["ResponseMetadata"]["HTTPHeaders"]:
            # A reset discards what the client had not read of an answer; botocore goes on without.
            self.count(self.answers, "head cut off")
            return UNKNOWN, "head cut off"
        self.count(self.done, name)
        with self.lock:
            now = time.monotonic()
            self.gap_s = max(self.gap_s, now - self.last_done)
            self.last_done = now
        return DONE, answer

    def _attempt(self, name, key, value, call):
        outcome, answer = self.ask(name, call)
        if outcome == DONE:
            key.acked = value
            key.unknown = [old for old in key.unknown if old[1] == self.life]
        elif outcome == UNKNOWN:
            key.unknown.append((value, self.life))
        return outcome, answer

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
        if outcome == DONE and rng.random() < 0.3:
            self._check_key(client, key)
        return outcome != UNKNOWN

    def _delete(self, client, rng, keys):
        key = rng.choice(keys)
        outcome, _ = self._attempt(
            "delete", key, ABSENT, lambda: client.delete_object(Bucket=self.bucket, Key=key.name)
        )
        if outcome == DONE:
            self._check_key(client, key)
        return outcome != UNKNOWN

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
        if outcome == DONE and value == ABSENT:
            self.violate(f"copy of the absent {source.name} succeeded")
        if outcome == REFUSED and value != ABSENT and answer != NO_CONNECTION:
            self.violate(f"copy of {source.name} ({value}) was refused: {answer}")
        return outcome != UNKNOWN

    def _multipart(self, client, rng, keys):
        key = rng.choice(keys)
        key.generation += 1
        size = 5 * MIB + rng.choice([1, 4096, 16385, 100 * 1024])
        ident = identity(key.name, key.generation, size)
        upload, answer = self.upload_parts(client, key.name, ident)
        if upload is None:
            return answer == REFUSED
        if rng.random() < 0.15:
            del upload["MultipartUpload"]
            return self.ask("abort", lambda: client.abort_multipart_upload(**upload))[0] == DONE
        outcome, _ = self._attempt(
            "complete", key, ident, lambda: client.complete_multipart_upload(**upload)
        )
        return outcome != UNKNOWN

    def upload_parts(self, client, name, ident):
        """(what completes the upload, DONE), or (None, the outcome that ended it)."""
        body = payload(ident)
        common = {"Bucket": self.bucket, "Key": name}
        outcome, answer = self.ask(
            "create upload",
            lambda: client.create_multipart_upload(**common, Metadata={"id": ident}),
        )
        if outcome != DONE:
            return None, outcome
        upload = {**common, "UploadId": answer["UploadId"]}
        parts = []
        for number, piece in ((1, body[: 5 * MIB]), (2, body[5 * MIB :])):
            outcome, answer = self.ask(
                "part",
                lambda number=number, piece=piece: client.upload_part(
                    **upload, PartNumber=number, Body=piece
                ),
            )
            if outcome != DONE:
                return None, outcome
            if "ETag" not in answer:
                self.violate(f"{name}: a part was taken without an ETag: {answer}")
                return None, UNKNOWN
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        return {**upload, "MultipartUpload": {"Parts": parts}}, DONE

    def _read(self, client, rng, keys):
        return self._check_key(client, rng.choice(keys))

    def _check_key(self, client, key):
        before = key.values()
        outcome, value = self.read_value(client, key.name)
        if outcome == DONE and value not in before:
            self.violate(f"{key.name} read {value}, may be {sorted(before)}")
        return outcome != UNKNOWN

    def read_value(self, client, name, etag_of=None):
        """The id stored at a key after its bytes were verified, or ABSENT."""

        def get():
            answer = client.get_object(Bucket=self.bucket, Key=name)
            return answer["Metadata"].get("id"), answer["Body"].read(), answer.get("ETag")

        outcome, answer = self.ask("get", get)
        if outcome == REFUSED:
            return (DONE, ABSENT) if answer in ("NoSuchKey", "404") else (UNKNOWN, None)
        if outcome == UNKNOWN:
            return outcome, None
        ident, body, etag = answer
        wrong = verify(ident, body)
        if wrong:
            self.violate(f"{name}: {wrong}")
        elif etag_of and etag != etag_of(ident):
            self.violate(f"{name}: {ident} has the ETag {etag}, not {etag_of(ident)}")
        return DONE, ident

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
        if outcome == DONE and was != ABSENT:
            self.violate(f"If-None-Match replaced {was} at {key.name}")
        if outcome == REFUSED and was == ABSENT and answer == "PreconditionFailed":
            self.violate(f"If-None-Match was refused at the absent {key.name}")
        return outcome != UNKNOWN

    def _list(self, client, _rng, keys):
        """The listing of a thread's own keys, which nobody else changes meanwhile."""
        prefix = keys[0].name.rpartition("/")[0] + "/"
        outcome, answer = self.ask(
            "list", lambda: client.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        )
        if outcome == DONE:
            listed = {entry["Key"] for entry in answer.get("Contents", [])}
            for key in keys:
                may_be = {value != ABSENT for value in key.values()}
                if (key.name in listed) not in may_be:
                    seen = "listed" if key.name in listed else "not listed"
                    self.violate(f"{key.name} is {seen}, may be {sorted(key.values())}")
        return outcome != UNKNOWN

    # Checking everything while nothing runs.

    def check(self, settle=True):
        """Reads every key, compares the listing, answers how many keys were read. `settle`: the
        server was started anew, and what had no answer cannot take effect any more."""
        client = self.server.client(timeout_s=60, attempts=3)
        present = set()
        every = [key for keys in self.owned for key in keys]
        for key in every:
            outcome, value = self.read_value(client, key.name)
            if outcome != DONE:
                self.violate(f"{key.name} cannot be read")
                continue
            if value not in key.values():
                self.violate(f"{key.name} holds {value}, may be {sorted(key.values())}")
            if value != ABSENT:
                present.add(key.name)
            if settle:
                key.settle(value)
        present |= self.shared.check(client, settle)
        try:
            self._check_listing(client, present)
            self._abort_uploads(client)
        except ClientError as error:
            self.violate(f"the listing failed: {error}")
        return len(every) + len(self.shared.keys)

    def _check_listing(self, client, present):
        listed = set()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            for entry in page.get("Contents", []):
                listed.add(entry["Key"])
        for name in sorted(listed - present):
            self.violate(f"{name} is listed but not there")
        for name in sorted(present - listed):
            self.violate(f"{name} is there but not listed")

    def _abort_uploads(self, client):
        """What broken uploads left takes space until somebody aborts them."""
        for is_first in (True, False):
            pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket)
            uploads = [upload for page in pages for upload in page.get("Uploads", [])]
            if uploads and not is_first:
                self.violate(f"uploads that were aborted are listed: {uploads[:3]}")
            for upload in uploads if is_first else ():
                client.abort_multipart_upload(
                    Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )

    def summary(self):
        done = ", ".join(f"{count} {name}" for name, count in sorted(self.done.items()))
        other = ", ".join(f"{count} x {name}" for name, count in sorted(self.answers.items()))
        return f"done: {done}\nother answers: {other or 'none'}\n{self.shared.summary()}"
