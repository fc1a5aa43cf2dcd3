"""Damaging and forging inputs; ``random`` decides how."""

import io
import json
import pickle
import zipfile
from random import Random
from typing import Any

# Where readers of numbers of 8 to 64 bits go wrong, little- and big-endian.
EDGES = [
    (value & (2 ** (8 * size) - 1)).to_bytes(size, order)
    for size in (1, 2, 4, 8)
    for value in (0, 1, -1, 2 ** (8 * size - 1), 2 ** (8 * size - 1) - 1)
    for order in ("little", "big")
]
VALUES = [
    *(None, True, False, 0, 1, -1, 2**15, 2**26, 2**31, 2**63, 10**30, 10**400, 0.5, 1e308, -0.0),
    *(float("nan"), float("inf"), "", "0", "\0", "\ud800", "a" * 1000, "../../x", "/etc/passwd"),
    *([], {}, [[]], [None], [0] * 1000, {"size": [2**15, 2**15], "counts": [2**30]}),
    *({"size": [10**9, 10**9], "counts": "d" * 30}, [[0, 0, 1e5, 0, 1e5, 1e5]], "o" * 200),
]


def damaged(random: Random, data: bytes) -> bytes:
    """Bytes with some places changed, moved, repeated or left out."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        at = random.randrange(len(changed) + 1)
        length = random.choice((1, 2, 4, 16, 256))
        kind = random.randrange(6)
        if kind == 0:
            changed[at : at + length] = random.randbytes(length)
        elif kind == 1:
            edge = random.choice(EDGES)
            changed[at : at + len(edge)] = edge
        elif kind == 2:
            del changed[at : at + length]
        elif kind == 3:
            changed[at:at] = changed[at : at + length] * random.choice((1, 1, 2, 100))
        elif kind == 4:
            origin = random.randrange(len(changed) + 1)
            changed[at : at + length] = changed[origin : origin + length]
        elif random.random() < 0.3:
            del changed[at:]
        elif at < len(changed):
            changed[at] ^= 1 << random.randrange(8)
    return bytes(changed)


def forged(random: Random, value: Any, values: list[Any] | None = None) -> Any:
    """A json-like value with something else in one or a few of its places."""
    for _ in range(random.choice((1, 1, 2, 3))):
        value = _replaced(random, value, values or VALUES)
    return value


def _replaced(random: Random, value: Any, values: list[Any]) -> Any:
    if not isinstance(value, dict | list) or not value or random.random() < 0.1:
        return random.choice(values)
    copy = value.copy()
    key = random.choice(list(value)) if isinstance(value, dict) else random.randrange(len(value))
    kind = random.random()
    if kind < 0.05:
        del copy[key]
    elif kind < 0.1 and isinstance(copy, list):
        copy.insert(key, copy[key])
    else:
        copy[key] = _replaced(random, value[key], values)
    return copy


def forged_json(random: Random, value: Any) -> bytes:
    """A json file of a forged value, of a damaged one, or nested deep."""
    kind = random.random()
    if kind < 0.02:
        return random.choice((b"[", b'{"a":')) * random.choice((10, 10**5))
    if kind < 0.7:
        return json.dumps(forged(random, value)).encode()
    return damaged(random, json.dumps(value).encode())


def repacked(random: Random, archive: bytes) -> bytes:
    """A zip archive with one entry damaged, left out or renamed, and checksums that fit."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(written, "w") as new:
        names = old.namelist()
        # Pickles decide how all else is read.
        chosen = random.choice([*names, *([x for x in names if x.endswith(".pkl")] * 5)])
        for name in names:
            content = old.read(name)
            if name == chosen:
                kind = random.random()
                if kind < 0.05:
                    continue
                if kind < 0.1:
                    name = random.choice(("../x", "/x", name + "x", random.choice(names)))
                content = damaged(random, content)
            new.writestr(zipfile.ZipInfo(name), content)
    return written.getvalue()


def forged_pickle(random: Random, value: Any) -> bytes:
    """A pickle of a forged value, or a damaged one."""
    data = pickle.dumps(forged(random, value) if random.random() < 0.3 else value, 2)
    return damaged(random, data) if random.random() < 0.8 else data
