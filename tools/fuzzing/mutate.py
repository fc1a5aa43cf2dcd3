"""Mutating inputs at random."""

import io
import json
import pickle
import zipfile
from random import Random
from typing import Any

# Edge cases of integers of 8 to 64 bits, little- and big-endian.
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


def damage(random: Random, data: bytes) -> bytes:
    """Change, delete, repeat or copy some parts of the data."""
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


def replace_values(random: Random, value: Any, values: list[Any] | None = None) -> Any:
    """Replace one or a few values anywhere in a json-like value."""
    for _ in range(random.choice((1, 1, 2, 3))):
        value = _replace_value(random, value, values or VALUES)
    return value


def _replace_value(random: Random, value: Any, values: list[Any]) -> Any:
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
        copy[key] = _replace_value(random, value[key], values)
    return copy


def damage_json(random: Random, value: Any) -> bytes:
    """A json file with other values, damaged bytes, or deep nesting."""
    kind = random.random()
    if kind < 0.02:
        return random.choice((b"[", b'{"a":')) * random.choice((10, 10**5))
    if kind < 0.7:
        return json.dumps(replace_values(random, value)).encode()
    return damage(random, json.dumps(value).encode())


def damage_zip(random: Random, archive: bytes) -> bytes:
    """A zip archive with one entry damaged, deleted or renamed, and correct checksums."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(written, "w") as new:
        names = old.namelist()
        # Pickles control how everything else is read.
        chosen = random.choice([*names, *([x for x in names if x.endswith(".pkl")] * 5)])
        for name in names:
            content = old.read(name)
            if name == chosen:
                kind = random.random()
                if kind < 0.05:
                    continue
                if kind < 0.1:
                    name = random.choice(("../x", "/x", name + "x", random.choice(names)))
                content = damage(random, content)
            new.writestr(zipfile.ZipInfo(name), content)
    return written.getvalue()


def damage_pickle(random: Random, value: Any) -> bytes:
    """A pickle with other values, damaged bytes, or both."""
    data = pickle.dumps(replace_values(random, value) if random.random() < 0.3 else value, 2)
    return damage(random, data) if random.random() < 0.8 else data
