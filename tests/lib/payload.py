"""Self-describing payloads: the id says what every byte must be.

The id travels as user metadata (so that empty objects have one) and names the key and generation
it was first written as; a copy carries its source's id.
"""

import hashlib

KIB, MIB = 1 << 10, 1 << 20
SIZES = [0, 1, 4 * KIB, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 100 * KIB, MIB, 5 * MIB + 1]


def identity(key, generation, size_bytes):
    return f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.{generation}.{size_bytes}"


def payload(ident):
    """The bytes that belong to an id."""
    return hashlib.shake_128(ident.encode()).digest(int(ident.rsplit(".", 1)[1]))


def verify(ident, body):
    """What is wrong with a body read under an id; None where nothing is."""
    if ident is None:
        return "no id in the metadata"
    expected = payload(ident)
    if body == expected:
        return None
    if len(body) != len(expected):
        return f"{ident}: {len(body)} bytes instead of {len(expected)}"
    at = next(i for i, (a, b) in enumerate(zip(body, expected)) if a != b)
    return f"{ident}: differs from byte {at}"
