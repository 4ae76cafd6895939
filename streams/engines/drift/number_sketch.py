"""A mergeable sketch of numbers: a histogram whose cells are as fine as its size allows.

A float64 has a whole-number key that orders like the number itself (its bits, mirrored for negative numbers). A
sketch counts keys shifted right by ``level`` bits, with the smallest level at which it needs at most
:data:`CELLS` cells: up to that many distinct numbers it is exact, beyond it neighbouring cells pair up everywhere
at once, so that a cell spans a fixed share of its numbers (2^(level - 52)).

The level depends only on the numbers held, never on the order in which they came: a part never needs a higher
level than the whole. Merging is therefore associative and commutative to the bit, which quantile sketches with
random compaction (KLL) and t-digests are not. Source: uniform collapse as in UDDSketch (Epicoco et al. 2020,
"UDDSketch: accurate tracking of quantiles in data streams"), over the log-linear cells of HdrHistogram.
"""

import struct
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streams.engines.drift.codec import SketchError, frame, pack_integers, read_frame, unpack_integers
from streams.engines.drift.sketch import SeriesSketch

NUMBER: Final = 2
"""The kind of a number series' sketch in its bytes."""
CELLS: Final = 256
"""Most cells of a sketch."""

_HEADER: Final = struct.Struct("<BI")
_LOW: Final = np.int64(-(2**63))
_LARGEST: Final = np.float64(np.finfo(np.float64).max).view(np.int64)
"""The key of the largest finite number; -1 less it is that of the smallest."""


@dataclass(frozen=True, slots=True, eq=False)
class NumberSketch:
    """What is kept of ``count`` finite numbers."""

    count: int
    level: int
    """Bits the keys were shifted by: 0 while all numbers are told apart."""
    keys: NDArray[np.int64]
    """Keys of the cells in use, rising, shape ``(cells,)``."""
    counts: NDArray[np.int64]
    """Numbers per cell, at least 1, shape ``(cells,)``."""

    @classmethod
    def empty(cls) -> "NumberSketch":
        """The sketch of no numbers."""
        return cls(0, 0, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))

    def emptied(self) -> "NumberSketch":
        """The sketch of no numbers."""
        return NumberSketch.empty()

    @property
    def middles(self) -> NDArray[np.float64]:
        """The number in the middle of each cell, rising: the number itself at level 0."""
        keys = self.keys << self.level
        low = _number(np.maximum(keys, -_LARGEST - 1))
        high = _number(np.minimum(keys + ((np.int64(1) << self.level) - 1), _LARGEST))
        return low + (high - low) / 2

    def add(self, values: NDArray[Any] | Sequence[float]) -> "NumberSketch":
        """This sketch with finite numbers, shape ``(n,)``."""
        numbers = np.asarray(values, dtype=np.float64)
        if numbers.ndim != 1 or not np.isfinite(numbers).all():
            raise SketchError("a sketch of numbers takes a list of finite numbers")
        if not len(numbers):
            return self
        keys, counts = np.unique(_key(numbers), return_counts=True)
        return self.merge(_collapsed(0, keys, counts.astype(np.int64)))

    def merge(self, *others: SeriesSketch) -> "NumberSketch":
        """The sketch of the numbers of all."""
        held = [self]
        for other in others:
            if not isinstance(other, NumberSketch):
                raise SketchError("a sketch of numbers merges with numbers only")
            held.append(other)
        held = [sketch for sketch in held if sketch.count]
        if len(held) < 2:
            return held[0] if held else self
        level = max(sketch.level for sketch in held)
        keys = np.concatenate([sketch.keys >> (level - sketch.level) for sketch in held])
        return _collapsed(level, *_summed(keys, np.concatenate([sketch.counts for sketch in held])))

    def to_bytes(self) -> bytes:
        """A compact, versioned form."""
        header = _HEADER.pack(self.level, len(self.keys))
        return frame(NUMBER, self.count) + header + pack_integers(self.keys) + pack_integers(self.counts)

    @classmethod
    def from_bytes(cls, data: bytes) -> "NumberSketch":
        """Read :meth:`to_bytes`. Raises :class:`SketchError` saying what is wrong with the bytes."""
        kind, count, body = read_frame(data)
        if kind != NUMBER:
            raise SketchError("the sketch is not one of numbers")
        if len(body) < _HEADER.size:
            raise SketchError("the sketch ends too early")
        level, cells = _HEADER.unpack_from(body)
        if level > 62 or cells > CELLS:
            raise SketchError("the sketch's header is damaged")
        keys, body = unpack_integers(body[_HEADER.size :], cells)
        counts, body = unpack_integers(body, cells)
        if body or (counts < 1).any() or int(counts.sum()) != count or (keys[1:] <= keys[:-1]).any():
            raise SketchError("the sketch's cells are damaged")
        if cells and not -_LARGEST - 1 >> level <= keys[0] <= keys[-1] <= _LARGEST >> level:
            raise SketchError("the sketch's numbers are not finite")
        return cls(count, level, keys, counts)


def _key(numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers that order like ``numbers``; both zeros are one."""
    bits = (numbers + 0.0).view(np.int64)
    return np.where(bits >= 0, bits, _LOW - bits - 1)


def _number(keys: NDArray[np.int64]) -> NDArray[np.float64]:
    """The numbers of keys."""
    return np.where(keys >= 0, keys, _LOW - keys - 1).view(np.float64)


def _summed(keys: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cells with equal keys as one, rising."""
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    first = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
    return keys[first], np.add.reduceat(counts, first)


def _collapsed(level: int, keys: NDArray[np.int64], counts: NDArray[np.int64]) -> NumberSketch:
    """Neighbours paired up until they are few enough. ``keys`` rise."""
    # Two neighbours share a cell from the level on that shifts out every bit in which they differ.
    differing = keys[1:] ^ keys[:-1]
    more = bisect_left(range(64), 1 - CELLS, key=lambda bits: -int(np.count_nonzero(differing >> bits)))
    if more:
        keys, counts = _summed(keys >> more, counts)
    return NumberSketch(int(counts.sum()), level + more, keys, counts)
