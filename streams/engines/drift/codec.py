"""The bytes of every sketch: one frame, whole numbers as narrow as they are.

Frame: magic ``TWSK``, version, kind, count, then the kind's own body. Integers travel little-endian in the
narrowest of 1, 2, 4 or 8 bytes that holds them all; where most are 0, as in buckets of few documents, only the
others with their places. Nothing is deflated, and the database stores the bytes as they are: what is narrow
already hardly shrinks, and trying takes longer than all else that is done with a sketch.
"""

import struct
from typing import Final

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


def unpack_integers(data: memoryview, count: int) -> tuple[NDArray[np.int64], memoryview]:
    """``count`` integers written by :func:`pack_integers` and what follows them. Raises :class:`SketchError`."""
    if len(data) < _INTEGERS.size:
        raise SketchError("the sketch ends too early")
    code, held = _INTEGERS.unpack_from(data)
    width, sparse = code & ~_SPARSE, code & _SPARSE
    start = _INTEGERS.size + (2 * held if sparse else 0)
    end = start + held * width
    if width not in _WIDTHS or len(data) < end or (held > count if sparse else held != count):
        raise SketchError(f"the sketch's numbers are damaged or not {count}")
    values = np.frombuffer(data[start:end], dtype=_WIDTHS[width]).astype(np.int64)
    if sparse:
        places = np.frombuffer(data[_INTEGERS.size : start], dtype="<u2").astype(np.intp)
        if held and (places[-1] >= count or (places[1:] <= places[:-1]).any()):
            raise SketchError("the sketch's numbers are damaged")
        full = np.zeros(count, dtype=np.int64)
        full[places] = values
        return full, data[end:]
    return values, data[end:]
