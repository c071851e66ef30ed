"""Keys that all threads of a load race for: conditional and plain PUTs of every size, deletes,
copies, completed uploads and reads. Each key's history must be that of one register.
"""

import hashlib
import threading

from history import DELETE, DONE, READ, REFUSED, UNKNOWN, VOID, WRITE, History, If, TooMany
from payload import MIB, identity, payload

ABSENT = "absent"


class SharedKey:
    def __init__(self, name):
        self.name = name
        self.history = History(None)


class Shared:
    def __init__(self, load, count):
        self.load = load
        self.keys = [SharedKey(f"shared/{number}") for number in range(count)]
        self.lock = threading.Lock()
        self.etags = {}
        self.next = 0
        self.raced = {}  # size: [won, lost] conditional PUTs.
        self.operations, self.undecided = 0, 0

    def etag_of(self, ident):
        """What the server must say of a value; `None` of a value nobody wrote."""
        return self.etags.get(ident)

    def _new(self, key, size, is_multipart=False):
        with self.lock:
            self.next += 1
            ident = identity(key.name, self.next, size)
            body = payload(ident)
            if is_multipart:
                pieces = (body[: 5 * MIB], body[5 * MIB :])
                digests = b"".join(hashlib.md5(piece).digest() for piece in pieces)
                etag = f"{hashlib.md5(digests).hexdigest()}-2"
            else:
                etag = hashlib.md5(body).hexdigest()
            self.etags[ident] = f'"{etag}"'
        return ident, body

    def act(self, client, rng, owned):
        """One operation on a random key; False where the outcome is unknown."""
        key = rng.choice(self.keys)
        actions = [self._raise, self._put, self._delete, self._read, self._copy, self._complete]
        action = rng.choices(actions, [50, 8, 10, 20, 8, 4])[0]
        return action(client, rng, key, owned) != UNKNOWN

    def _write(self, name, key, ident, call, condition=None):
        operation = key.history.call(WRITE, ident, condition)
        outcome, answer = self.load.ask(name, call)
        if outcome == REFUSED:
            # A conflict says nothing, nor a closed port; of a write that has no condition, a
            # refusal is about something else.
            says = answer in ("PreconditionFailed", "412", "NoSuchKey", "404") and condition
            key.history.answer(operation, REFUSED if says else VOID)
        else:
            key.history.answer(operation, outcome)
        if outcome == DONE:
            told = answer.get("ETag") or answer.get("CopyObjectResult", {}).get("ETag")
            if told != self.etag_of(ident):
                self.load.violate(f"{key.name}: {name} of {ident} was answered with ETag {told}")
        return outcome, answer

    def _raise(self, client, rng, key, _owned):
        """Reads what is there and replaces just that."""
        load = self.load
        operation = key.history.call(READ)
        outcome, answer = load.ask(
            "head", lambda: client.head_object(Bucket=load.bucket, Key=key.name)
        )
        if outcome == REFUSED and answer in ("404", "NoSuchKey"):
            key.history.answer(operation, DONE, None)
            condition, header = If.ABSENT, {"IfNoneMatch": "*"}
        elif outcome == DONE:
            found = answer["Metadata"].get("id")
            key.history.answer(operation, DONE, found)
            if answer.get("ETag") != self.etag_of(found):
                load.violate(f"{key.name}: {found} has the ETag {answer.get('ETag')}")
            condition, header = answer["ETag"], {"IfMatch": answer["ETag"]}
        else:
            return UNKNOWN
        size = rng.choice(load.sizes)
        ident, body = self._new(key, size)
        outcome, answer = self._write(
            "raise", key, ident,
            lambda: client.put_object(
                Bucket=load.bucket, Key=key.name, Body=body, Metadata={"id": ident}, **header
            ),
            condition,
        )  # fmt: skip
        if outcome != UNKNOWN:
            with self.lock:
                self.raced.setdefault(size, [0, 0])[outcome == REFUSED] += 1
        return outcome

    def _put(self, client, rng, key, _owned):
        ident, body = self._new(key, rng.choice(self.load.sizes))
        return self._write(
            "put", key, ident,
            lambda: client.put_object(
                Bucket=self.load.bucket, Key=key.name, Body=body, Metadata={"id": ident}
            ),
        )[0]  # fmt: skip

    def _delete(self, client, _rng, key, _owned):
        operation = key.history.call(DELETE)
        outcome, _ = self.load.ask(
            "delete", lambda: client.delete_object(Bucket=self.load.bucket, Key=key.name)
        )
        key.history.answer(operation, VOID if outcome == REFUSED else outcome)
        return outcome

    def _read(self, client, _rng, key, _owned):
        operation = key.history.call(READ)
        outcome, value = self.load.read_value(client, key.name, self.etag_of)
        key.history.answer(operation, outcome, None if value == ABSENT else value)
        return outcome

    def _copy(self, client, rng, key, owned):
        """From an owned key whose value is known; not of an upload, whose ETag a copy changes."""
        sources = [source for source in owned if source.acked != ABSENT and not source.unknown]
        sources = [source for source in sources if self._bytes(source.acked) <= 5 * MIB]
        if not sources:
            return self._read(client, rng, key, owned)
        source = rng.choice(sources)
        ident = source.acked
        with self.lock:
            if ident not in self.etags:
                self.etags[ident] = f'"{hashlib.md5(payload(ident)).hexdigest()}"'
        outcome, answer = self._write(
            "copy", key, ident,
            lambda: client.copy_object(
                Bucket=self.load.bucket, Key=key.name,
                CopySource={"Bucket": self.load.bucket, "Key": source.name},
            ),
        )  # fmt: skip
        if outcome == REFUSED and answer in ("NoSuchKey", "404"):
            self.load.violate(f"copy of {source.name} ({ident}) was refused: {answer}")
        return outcome

    @staticmethod
    def _bytes(ident):
        return int(ident.rsplit(".", 1)[1])

    def _complete(self, client, rng, key, _owned):
        size = 5 * MIB + rng.choice([1, 4096, 16385, 100 * 1024])
        ident, _ = self._new(key, size, is_multipart=True)
        upload, outcome = self.load.upload_parts(client, key.name, ident)
        if upload is None:
            return outcome
        return self._write(
            "complete", key, ident, lambda: client.complete_multipart_upload(**upload)
        )[0]

    def check(self, client, settle):
        """Reads every key and judges its history; answers the names of those that are there."""
        present = set()
        for key in self.keys:
            operation = key.history.call(READ)
            outcome, value = self.load.read_value(client, key.name, self.etag_of)
            key.history.answer(operation, outcome, None if value == ABSENT else value)
            if outcome != DONE:
                self.load.violate(f"{key.name} cannot be read")
                continue
            self.operations += len(key.history.operations)
            try:
                problem = key.history.problem(self.etag_of)
            except TooMany:
                self.undecided += 1
            else:
                if problem:
                    self.load.violate(f"{key.name}: {problem}")
            if value != ABSENT:
                present.add(key.name)
            if settle:
                key.history.start_over(None if value == ABSENT else value)
        return present

    def summary(self):
        raced = ", ".join(
            f"{size}: {won} won {lost} lost" for size, (won, lost) in sorted(self.raced.items())
        )
        text = f"conditional PUTs by size: {raced or 'none'}; {self.operations} operations in "
        return text + f"checked histories, {self.undecided} histories too long to decide"
