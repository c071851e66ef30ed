#!/usr/bin/env python3
"""Round trips, kills and losses with other numbers of drives and shards, and on both drivers.

    tests/geometry/run.py           # six shapes, about three minutes
    tests/geometry/run.py --long    # 1, 2, 12, 24 drives x 1, 2, 4 shards x both drivers
    BASALT_ONLY='24 drives' tests/geometry/run.py --long

Each shape: bodies around every border of cell and stripe, read whole and in ranges, by one PUT and
in parts; kills under the checked load of tests/kill; the loss its parity allows, at a restart and
in use, in every set at once; one drive more, which must answer 503 and corrupt nothing. --long also
takes the power away (tests/powerloss). Twelve drives are 8+4, 24 are two sets of 8+4.
"""

import argparse
import hashlib
import importlib.util
import itertools
import pathlib
import sys
import zlib

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

from basalt import Server, wait_for, watchdog  # noqa: E402
from load import Load  # noqa: E402
from lost import (  # noqa: E402
    begin,
    clean,
    lost_in_use,
    put_back,
    right_or_refused,
    remove,
    start_reading,
    stop,
    without,
)
from payload import KIB, MIB, payload  # noqa: E402
from runner import Suite, number  # noqa: E402

DRIVES, SHARDS, DRIVERS = (1, 2, 12, 24), (1, 2, 4), ("uring", "threads")
# What CI runs: every number of drives, every number of shards, both drivers.
SHORT = [
    (1, 1, "uring"), (1, 1, "threads"), (2, 2, "uring"),
    (12, 4, "uring"), (12, 1, "threads"), (24, 2, "uring"),
]  # fmt: skip
# Data and parity of a set of so many drives, and the sets.
EXPECTED = {1: (1, 0, 1), 2: (1, 1, 1), 12: (8, 4, 1), 24: (8, 4, 2)}
CELL = 256 * KIB
# What the load of the kills needs over all drives, without parity.
ROOM_MIB = 384
SECONDS = number("BASALT_SECONDS", 2)
SEED = number("BASALT_SEED", 1)
BUCKET = "geometry"


def suite_of(name):
    """Another suite's run.py as a module."""
    spec = importlib.util.spec_from_file_location(f"{name}_run", HERE.parent / name / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Shape:
    def __init__(self, drives, shards, driver, is_long):
        self.drives, self.shards, self.driver, self.is_long = drives, shards, driver, is_long
        self.data, self.parity, self.sets = EXPECTED[drives]
        self.args = ["--shards", str(shards), "--driver", driver]
        # Not the same draws for each shape.
        self.seed = SEED + zlib.crc32(f"{drives} {shards} {driver}".encode())
        self.drive_size = f"{max(64, ROOM_MIB // (self.data * self.sets))}MiB"
        self.name = f"{drives} drives, {shards} shards, {driver}"

    def server(self):
        return Server(drives=self.drives, args=self.args)

    def load(self, server):
        return Load(server, BUCKET, seed=self.seed)

    def check_start(self, server):
        """It is the shape it should be."""
        wait_for("it says that it serves", lambda: " serving " in server.log_text(), 5)
        log = server.log_text()
        shape = f"sets={self.sets} set_size={self.drives // self.sets} ec={self.data}+{self.parity}"
        assert shape in log, f"not {shape}:\n{server.log_tail()}"
        assert f"driver={self.driver}" in log and f"shards={self.shards} " in log, server.log_tail()

    def victims(self, server, count, last=False):
        """So many drives of each set."""
        by_set = {}
        for index, drive in enumerate(server.drives):
            place = next(d for d in server.status()["drives"] if d["path"] == str(drive))
            by_set.setdefault(place["set"], []).append(index)
        assert len(by_set) == self.sets, by_set
        chosen = [members[-count:] if last else members[:count] for members in by_set.values()]
        return list(itertools.chain(*chosen))


def round_trip(shape):
    """Every border of cell and stripe, whole, in ranges, in parts, and after a restart."""
    stripe = CELL * shape.data
    borders = [1, 4 * KIB, 16 * KIB, CELL, stripe, 2 * stripe]
    sizes = sorted({0, 3 * stripe + 12345} | {b + d for b in borders for d in (-1, 0, 1)})
    with shape.server() as server:
        server.start()
        shape.check_start(server)
        client = server.client(expect=False)
        client.create_bucket(Bucket=BUCKET)
        for size in sizes:
            body = payload(f"round.0.{size}")
            etag = client.put_object(Bucket=BUCKET, Key=f"put/{size}", Body=body)["ETag"]
            assert etag == f'"{hashlib.md5(body).hexdigest()}"', etag
        parts = [payload(f"part.{n}.{size}") for n, size in enumerate((5 * MIB, 6 * MIB + 1, 77))]
        upload_parts(client, parts)
        for _ in range(2):
            client = server.client(expect=False)
            for size in sizes:
                read_back(client, f"put/{size}", payload(f"round.0.{size}"))
            read_back(client, "parts", b"".join(parts))
            names = [entry["Key"] for entry in list_all(client)]
            assert names == sorted(["parts", *(f"put/{size}" for size in sizes)]), names
            stop(server)
            server.start()
        assert not server.panics(), server.panics()[:3]


def upload_parts(client, parts):
    place = {"Bucket": BUCKET, "Key": "parts"}
    place["UploadId"] = client.create_multipart_upload(**place)["UploadId"]
    done = [
        {"PartNumber": n, "ETag": client.upload_part(**place, PartNumber=n, Body=part)["ETag"]}
        for n, part in enumerate(parts, 1)
    ]
    client.complete_multipart_upload(**place, MultipartUpload={"Parts": done})


def list_all(client):
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return [entry for page in pages for entry in page.get("Contents", [])]


def read_back(client, key, body):
    got = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert got == body, f"{key}: {len(got)} bytes, differs from what was written"
    middle, size = len(body) // 2, len(body)
    for first, last in ((0, 0), (middle - 1, middle + 4096), (size - 2, size - 1)):
        if 0 <= first <= last < size:
            ranged = client.get_object(Bucket=BUCKET, Key=key, Range=f"bytes={first}-{last}")
            assert ranged["Body"].read() == body[first : last + 1], f"{key}: bytes {first}-{last}"


def kills(shape):
    kill = suite_of("kill")
    options = argparse.Namespace(
        drives=shape.drives,
        seed=shape.seed,
        kills=12 if shape.is_long else 4,
        drive_size=shape.drive_size,
        args=" ".join(shape.args),
    )
    found = kill.run(options)
    assert not found, "\n".join(found[:20])


def losses(shape):
    """As many drives of every set as its parity allows, and one more."""
    with shape.server() as server:
        load = begin(server, BUCKET, shape.load(server), SECONDS)
        # With as many data as parity drives, writes need one drive more than reads.
        reads_only = shape.data == shape.parity
        seconds = 0 if reads_only else SECONDS
        for last in (False, True) if shape.parity else ():
            without(server, load, shape.victims(server, shape.parity, last), seconds, reads_only)
        if shape.data > shape.parity > 0:
            print("  in use: noticed in {:.1f} s, {:.1f} s without an answer, back in {:.1f} s".format(
                *lost_in_use(server, load, shape.victims(server, shape.parity), SECONDS)
            ))  # fmt: skip
            without(server, load, shape.victims(server, shape.parity, last=True))
        gone = shape.victims(server, shape.parity + 1)
        # Where no drive is left, nobody knows that there was a store.
        if len(gone) < shape.drives:
            one_more(server, load, gone)


def one_more(server, load, gone):
    """Too many drives of every set are gone: nothing wrong is said, and then all is right."""
    stop(server)
    remove(server, *gone)
    start_reading(server)
    assert right_or_refused(server, load), f"nothing was refused without {len(gone)} drives"
    stop(server)
    put_back(server, *gone)
    server.start()
    server.wait_in_sync()
    load.check()
    clean(load)


def power(shape):
    args = ["--shards", str(shape.shards), "--drive-size", shape.drive_size]
    found = suite_of("powerloss").lose(shape.driver, 6, shape.seed, drives=shape.drives, args=args)
    assert not found, "\n".join(found[:20])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", action="store_true", help="every combination, and power losses")
    options = parser.parse_args()
    watchdog(number("BASALT_TIMEOUT", 10800 if options.long else 1200))
    shapes = SHORT
    if options.long:
        every = itertools.product(DRIVES, SHARDS, DRIVERS)
        # There are no more shards than drives.
        shapes = [shape for shape in every if shape[1] <= shape[0]]
    suite = Suite("geometry")
    for drives, shards, driver in shapes:
        shape = Shape(drives, shards, driver, options.long)
        for check in (round_trip, kills, losses, *([power] if options.long else [])):
            suite.run_named(f"{shape.name}: {check.__name__}", check, shape)
    suite.finish()


if __name__ == "__main__":
    main()
