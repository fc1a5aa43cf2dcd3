"""Label Studio's run-length encoding of brush masks.

It encodes the bytes of an RGBA image, row by row: the mask is what is not transparent. The data is
a sequence of bits: the number of bytes (32), bits per value - 1 (5), four bit widths of lengths - 1
(4 each), and then blocks. A block has a bit that says whether it repeats one value, the index of a
bit width (2), its length - 1, and the value or values. Encoding: "@thi.ng/rle-pack" on npm.
"""

import numpy as np

WIDTHS = (3, 4, 8, 16)
"""Bit widths of run lengths, as Label Studio writes them."""


def encode_brush(mask: np.ndarray) -> list[int]:
    """(H, W) bool mask -> bytes."""
    pixels = mask.ravel()
    starts = np.flatnonzero(np.diff(pixels, prepend=~pixels[:1]))
    lengths = np.diff([*starts, pixels.size]) * 4
    bits = [f"{pixels.size * 4:032b}{7:05b}", *(f"{width - 1:04b}" for width in WIDTHS)]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        value = "1" * 8 if pixels[start] else "0" * 8
        while length:
            run = min(length, 2 ** WIDTHS[-1])
            index = next(i for i, width in enumerate(WIDTHS) if run <= 2**width)
            bits.append(f"1{index:02b}{run - 1:0{WIDTHS[index]}b}{value}")
            length -= run
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def decode_brush(data: list[int], size: tuple[int, int]) -> np.ndarray:
    """Bytes -> (H, W) bool mask.

    Raises:
        ValueError: if they are no mask of this size.
    """
    if not all(type(x) is int and 0 <= x < 256 for x in data):
        raise ValueError("the 'rle' of a brush must be a list of bytes")
    bits = np.unpackbits(np.array(data, np.uint8))
    reader = _Bits(bits)
    count = reader.number(32)
    if count != 4 * size[0] * size[1]:
        raise ValueError(f"a brush has {count} bytes, not those of {size[1]} x {size[0]} pixels")
    depth = reader.number(5) + 1
    widths = [reader.number(4) + 1 for _ in range(4)]
    values, lengths, end = [], [], 0
    while end < count:
        repeats = reader.number(1)
        length = reader.number(widths[reader.number(2)]) + 1
        end += length
        if repeats:
            values.append(np.array([reader.number(depth)]))
            lengths.append(length)
        else:
            values.append(reader.numbers(length, depth))
            lengths += [1] * length
    if end > count:
        raise ValueError("the runs of a brush are longer than its mask")
    is_set = np.repeat(np.concatenate(values) > 0, lengths)
    return is_set[3::4].reshape(size)


class _Bits:
    """Reads numbers from a sequence of bits."""

    def __init__(self, bits: np.ndarray):
        self._bits = bits
        self._position = 0

    def number(self, width: int) -> int:
        return int(self.numbers(1, width)[0])

    def numbers(self, count: int, width: int) -> np.ndarray:
        end = self._position + count * width
        if end > len(self._bits):
            raise ValueError("the 'rle' of a brush is cut off")
        digits = self._bits[self._position : end].reshape(count, width)
        self._position = end
        return digits @ (1 << np.arange(width - 1, -1, -1, dtype=np.int64))
