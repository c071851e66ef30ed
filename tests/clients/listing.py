#!/usr/bin/env python3
"""Listings against a model: odd keys, every mix of prefix, delimiter, start and page size."""

import itertools
import random
import urllib.parse

from tools import run  # noqa: F401 - puts tests/lib on the path

from basalt import Server, watchdog
from runner import Suite, number

suite = Suite("clients/listing")
BUCKET = "listing"
ODD = [
    "a", "a/", "a/b", "a//b", "a//", "a/b/", "a/b/c", "ab", "a b", "a+b", "a%2Fb", "a%", "..", "../x",
    ".", "./x", "x/../y", "x/./y", "trailing/", "trailing//", "/", "//", "/leading", "&<>\"'", "?query",
    "#fragment", "=", ";", ":", "@", "!", "*", "~", "\\", "|", "^", "`", "{}", "[]", "$", ",",
    "\u00e4", "\u00e4/\u00f6", "e\u0301", "\u00e9", "\u65e5\u672c\u8a9e/\u30c6", "\U0001f600",
    "\U0001f600/x", "\ufffd", "\uffee", "z" * 1024, "\u00e4" * 512, "deep/" * 204 + "end",
    " leading", "trailing ", "tab\tkey", "-", "_", "0", "00", "A", "Z", "a-", "a.", "a0",
]  # fmt: skip


def in_order(keys):
    return sorted(keys, key=lambda key: key.encode())


def model(keys, prefix="", delimiter="", after=""):
    """What a listing without pages must answer: keys and common prefixes in order of bytes."""
    entries = []
    for key in in_order(keys):
        if not key.startswith(prefix):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        entry = ("key", key) if cut < 0 else ("prefix", key[: cut + len(delimiter)])
        if entry[1].encode() > after.encode() and (not entries or entries[-1] != entry):
            entries.append(entry)
    return entries


def merged(page):
    entries = [("key", found["Key"]) for found in page.get("Contents", [])]
    entries += [("prefix", found["Prefix"]) for found in page.get("CommonPrefixes", [])]
    return sorted(entries, key=lambda entry: entry[1].encode())


def list_v2(client, size, **query):
    """All pages; each is full but the last, in order and counted."""
    entries, token = [], {}
    for _ in range(10_000):
        page = client.list_objects_v2(Bucket=BUCKET, MaxKeys=size, **query, **token)
        found = merged(page)
        assert len(found) == page["KeyCount"] <= size, (len(found), page["KeyCount"], size)
        entries += found
        if not page["IsTruncated"]:
            return entries
        assert len(found) == size, f"a page of {len(found)} instead of {size}"
        token = {"ContinuationToken": page["NextContinuationToken"]}
    raise AssertionError("the listing does not end")


def list_v1(client, size, **query):
    entries = []
    marker = {"Marker": query.pop("StartAfter")} if "StartAfter" in query else {}
    for _ in range(10_000):
        page = client.list_objects(Bucket=BUCKET, MaxKeys=size, **query, **marker)
        found = merged(page)
        entries += found
        if not page["IsTruncated"]:
            return entries
        marker = {"Marker": page.get("NextMarker") or found[-1][1]}
    raise AssertionError("the listing does not end")


def compare(client, keys, size, prefix, delimiter, after):
    query = {"Prefix": prefix, "Delimiter": delimiter, "StartAfter": after}
    query = {name: value for name, value in query.items() if value}
    right = model(keys, prefix, delimiter, after)
    for version in (list_v2, list_v1):
        got = version(client, size, **query)
        assert got == right, (
            f"{version.__name__} {query} pages of {size}: first difference "
            f"{next((pair for pair in itertools.zip_longest(got, right) if pair[0] != pair[1]), None)}"
        )


class Context:
    def __init__(self, server):
        self.server = server
        self.client = server.client()
        self.keys = set()


@suite.check
def odd_keys_are_kept_apart(context):
    client = context.client
    client.create_bucket(Bucket=BUCKET)
    for key in ODD:
        client.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    for key in ODD:
        body = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        assert body == key.encode(), (key, body)
    context.keys = set(ODD)
    assert len(context.keys) == len(ODD), "the table names a key twice"


@suite.check
def pages_and_delimiters(context):
    prefixes = ["", "a", "a/", "a//", "x", "/", "\u00e4", "deep/", "deep/deep/", "none", "trailing"]
    for prefix, delimiter, size in itertools.product(prefixes, ["", "/", "b", "//"], [1, 3, 1000]):
        compare(context.client, context.keys, size, prefix, delimiter, "")
    for after in ["", "a", "a/", "a/b", "a/b/zzz", "\u00e4", "zzzz", "/", "\U0001f600"]:
        for delimiter in ("", "/"):
            compare(context.client, context.keys, 4, "", delimiter, after)


@suite.check
def encoded_names(context):
    """encoding-type=url: boto3 asks for it and decodes; here the wire itself is looked at."""
    client = context.server.client()
    client.meta.events.unregister(
        "before-parameter-build.s3.ListObjectsV2", _handler("set_list_objects_encoding_type_url")
    )
    page = client.list_objects_v2(Bucket=BUCKET, EncodingType="url", Prefix="\u00e4")
    raw = [entry["Key"] for entry in page["Contents"]]
    assert all(ord(letter) < 128 for key in raw for letter in key), raw
    assert {urllib.parse.unquote_plus(key) for key in raw} == {
        key for key in context.keys if key.startswith("\u00e4")
    }
    assert page["EncodingType"] == "url"


def _handler(name):
    import botocore.handlers

    return getattr(botocore.handlers, name)


@suite.check
def max_keys_zero_and_more_than_1000(context):
    page = context.client.list_objects_v2(Bucket=BUCKET, MaxKeys=0)
    assert not merged(page) and not page["IsTruncated"], page
    page = context.client.list_objects_v2(Bucket=BUCKET, MaxKeys=5000)
    assert page["MaxKeys"] == 1000, page["MaxKeys"]


@suite.check
def owners_and_sizes(context):
    page = context.client.list_objects_v2(Bucket=BUCKET, Prefix="a/b", FetchOwner=True)
    for entry in page["Contents"]:
        assert entry["Size"] == len(entry["Key"].encode()) and entry["ETag"], entry
        assert entry["Owner"]["ID"], entry
    assert "Owner" not in context.client.list_objects_v2(Bucket=BUCKET)["Contents"][0]


@suite.check
def random_changes_against_the_model(context):
    rng = random.Random(number("BASALT_SEED", 1))
    letters = ["a", "b", "/", "//", "\u00e4", "0", ".", "\U0001f600"]
    pool = ["".join(rng.choices(letters, k=rng.randint(1, 7))) for _ in range(150)]
    for step in range(number("BASALT_STEPS", 400)):
        key = rng.choice(pool)
        if rng.random() < 0.6:
            context.client.put_object(Bucket=BUCKET, Key=key, Body=b"")
            context.keys.add(key)
        else:
            context.client.delete_object(Bucket=BUCKET, Key=key)
            context.keys.discard(key)
        if step % 10 == 0:
            compare(
                context.client, context.keys, rng.choice([1, 2, 7, 50, 1000]),
                rng.choice(["", rng.choice(pool)[:3]]), rng.choice(["", "/", "a", "\u00e4"]),
                rng.choice(["", rng.choice(pool)]),
            )  # fmt: skip


@suite.check
def the_same_after_a_restart(context):
    assert context.server.stop() == 0
    context.server.start()
    for delimiter in ("", "/"):
        compare(context.client, context.keys, 100, "", delimiter, "")
    objects = [{"Key": key} for key in context.keys]
    while objects:
        context.client.delete_objects(Bucket=BUCKET, Delete={"Objects": objects[:500]})
        objects = objects[500:]
    assert not merged(context.client.list_objects_v2(Bucket=BUCKET))
    context.client.delete_bucket(Bucket=BUCKET)


if __name__ == "__main__":
    watchdog(number("BASALT_TIMEOUT", 900))
    with Server() as running:
        running.start()
        suite.run(Context(running))
    suite.finish()
