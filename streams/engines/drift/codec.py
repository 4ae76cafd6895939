"""The bytes of every sketch: one frame, whole numbers as narrow as they are.

Frame: magic ``TWSK``, version, kind, count, then the kind's own body. Integers travel little-endian in the
narrowest of 1, 2, 4 or 8 bytes that holds them all; where most are 0, as in buckets of few documents, only the
others with their places. Nothing is deflated, and the database stores the bytes as they are: what is narrow
already hardly shrinks, and trying takes longer than all else that is done with a sketch.
"""

import struct
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = b"TWSK"
VERSION: Final = 2
_FRAME: Final = struct.Struct("<4sHBQ")
_INTEGERS: Final = struct.Struct("<BI")
_WIDTHS: Final = {1: "<i1", 2: "<i2", 4: "<i4", 8: "<i8"}
_SPARSE: Final = 0x80
MAX_COUNT: Final = 2**62


class SketchError(ValueError):
    """Bytes that are not a sketch, or values and sketches that do not fit together."""


def frame(kind: int, count: int) -> bytes:
    """The beginning of a sketch of ``kind`` that holds ``count`` values."""
    return _FRAME.pack(MAGIC, VERSION, kind, count)


def read_frame(data: bytes) -> tuple[int, int, memoryview]:
    """Kind, count and body of a sketch. Raises :class:`SketchError`."""
    if len(data) < _FRAME.size or data[: len(MAGIC)] != MAGIC:
        raise SketchError("these bytes are not a sketch")
    _, version, kind, count = _FRAME.unpack_from(data)
    if version != VERSION:
        raise SketchError(f"the sketch has version {version}, this program reads version {VERSION}")
    if count > MAX_COUNT:
        raise SketchError("the sketch's header is damaged")
    return kind, count, memoryview(data)[_FRAME.size :]


def pack_integers(values: NDArray[np.int64]) -> bytes:
    """``values`` in the narrowest width that holds them; at most 65,536 of them."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    width = next(width for width in _WIDTHS if -(1 << (8 * width - 1)) <= low and high < 1 << (8 * width - 1))
    places = np.flatnonzero(values)
    if 2 * (2 + width) * len(places) <= width * len(values):
        sparse = places.astype("<u2").tobytes() + values[places].astype(_WIDTHS[width]).tobytes()
        return _INTEGERS.pack(width | _SPARSE, len(places)) + sparse
    return _INTEGERS.pack(width, len(values)) + values.astype(_WIDTHS[width]).tobytes()


class Packed(NamedTuple):
    """Where integers written by :func:`pack_integers` are."""

    width: int
    sparse: bool
    """Whether only those are there that are not 0."""
    places: memoryview
    """Of each that is there, two bytes; empty where all are."""
    values: memoryview


def cut_integers(data: memoryview, count: int) -> tuple[Packed, memoryview]:
    """The bytes of ``count`` integers and what follows them. Raises :class:`SketchError`."""
    if len(data) < _INTEGERS.size:
        raise SketchError("the sketch ends too early")
    code, held = _INTEGERS.unpack_from(data)
    width, sparse = code & ~_SPARSE, bool(code & _SPARSE)
    start = _INTEGERS.size + (2 * held if sparse else 0)
    end = start + held * width
    if width not in _WIDTHS or len(data) < end or (held > count if sparse else held != count):
        raise SketchError(f"the sketch's numbers are damaged or not {count}")
    return Packed(width, sparse, data[_INTEGERS.size : start], data[start:end]), data[end:]


def unpack_integers(data: memoryview, count: int) -> tuple[NDArray[np.int64], memoryview]:
    """``count`` integers written by :func:`pack_integers` and what follows them. Raises :class:`SketchError`."""
    packed, rest = cut_integers(data, count)
    return sum_integers([packed], count), rest


def sum_integers(packed: Sequence[Packed], count: int) -> NDArray[np.int64]:
    """The sum, place by place, of ``count`` integers each. Together, as numpy takes longer to be called than to
    add. Raises :class:`SketchError`."""
    total = np.zeros(count, dtype=np.int64)
    alike: dict[tuple[int, bool], list[Packed]] = {}
    for part in packed:
        alike.setdefault((part.width, part.sparse), []).append(part)
    for (width, sparse), parts in alike.items():
        values = np.frombuffer(b"".join(part.values for part in parts), dtype=_WIDTHS[width])
        if sparse:
            np.add.at(total, _places(parts, count), values.astype(np.int64))
        else:
            total += values.reshape(len(parts), count).sum(axis=0, dtype=np.int64)
    return total


def _places(parts: Sequence[Packed], count: int) -> NDArray[np.intp]:
    """Those of all parts, in each of which they rise."""
    places = np.frombuffer(b"".join(part.places for part in parts), dtype="<u2").astype(np.intp)
    falls = np.flatnonzero(places[1:] <= places[:-1]) + 1
    begin = accumulate(len(part.places) // 2 for part in parts)
    if len(places) and (places.max() >= count or not set(falls.tolist()) <= set(begin)):
        raise SketchError("the sketch's numbers are damaged")
    return places
