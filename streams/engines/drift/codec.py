"""The bytes of every sketch: one frame, whole numbers as narrow as they are.

Frame: magic ``TWSK``, version, kind, count, then the kind's own body. Integers travel little-endian in the
narrowest of 1, 2, 4 or 8 bytes that holds them all, deflated where that at least halves them: the first buckets of
a series are mostly zeros, later ones would only cost time.
"""

import struct
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = b"TWSK"
VERSION: Final = 2
_FRAME: Final = struct.Struct("<4sHBQ")
_INTEGERS: Final = struct.Struct("<BI")
_WIDTHS: Final = {1: "<i1", 2: "<i2", 4: "<i4", 8: "<i8"}
_DEFLATED: Final = 0x80
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
    """``values`` in the narrowest width that holds them."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    width = next(width for width in _WIDTHS if -(1 << (8 * width - 1)) <= low and high < 1 << (8 * width - 1))
    body = values.astype(_WIDTHS[width]).tobytes()
    deflated = zlib.compress(body, level=1)
    if 2 * len(deflated) <= len(body):
        return _INTEGERS.pack(width | _DEFLATED, len(deflated)) + deflated
    return _INTEGERS.pack(width, len(body)) + body


def unpack_integers(data: memoryview, count: int) -> tuple[NDArray[np.int64], memoryview]:
    """``count`` integers written by :func:`pack_integers` and what follows them. Raises :class:`SketchError`."""
    if len(data) < _INTEGERS.size:
        raise SketchError("the sketch ends too early")
    code, length = _INTEGERS.unpack_from(data)
    body, rest = data[_INTEGERS.size : _INTEGERS.size + length], data[_INTEGERS.size + length :]
    kind = _WIDTHS.get(code & ~_DEFLATED)
    if len(body) < length or kind is None:
        raise SketchError("the sketch's numbers are damaged")
    size = count * (code & ~_DEFLATED)
    plain: Any = inflated(body, size) if code & _DEFLATED else body
    if len(plain) != size:
        raise SketchError(f"the sketch's numbers are not {count}")
    return np.frombuffer(plain, dtype=kind).astype(np.int64), rest


def inflated(data: memoryview, size: int) -> bytes:
    """Exactly ``size`` bytes out of a deflated body; a body that would yield more is never unfolded further."""
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(data, size)
        # A stream that holds more than it should yields more here; its end mark may need one more call.
        surplus = inflate.decompress(inflate.unconsumed_tail, 1)
    except zlib.error as error:
        raise SketchError(f"the sketch's numbers are damaged: {error}") from error
    if surplus or not inflate.eof or inflate.unused_data:
        raise SketchError(f"the sketch's numbers are not {size} bytes")
    return plain
