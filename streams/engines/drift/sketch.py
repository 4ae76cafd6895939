"""A mergeable sketch of vectors (design section 5): what the drift metrics need to know of a sample.

A sketch keeps, of n vectors x in d dimensions, the count n, the sum Σx, the sum of squared norms Σ|x|² and a
histogram of the vectors' directions along fixed random axes (:mod:`~streams.engines.drift.directions`). All of
them add up, so sketches of partitions, time buckets and replays combine in any order to the sketch of all their
vectors, and a window costs the same whatever the number of documents in it.

Merging is exact, not only up to rounding: components are rounded to multiples of 2^-24 when they come in (half the
last digit of a float32 near 1), and sums of such numbers are exact in float64 up to 2^29. So a replay over any
number of partitions decides what the live run decided, to the bit. Beyond that sum the last digits depend on the
order, and features whose numbers are all far below 2^-24 would have to be scaled up.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.features import MAX_DIMENSIONS
from streams.engines.drift.codec import (
    Packed,
    SketchError,
    cut_integers,
    frame,
    pack_integers,
    read_frame,
    sum_integers,
)
from streams.engines.drift.directions import AXES, CELLS, profile

__all__ = ["EMBEDDING", "SeriesSketch", "Sketch", "SketchError", "merge_all"]

EMBEDDING: Final = 1
"""The kind of an embedding's sketch in its bytes."""

_UNIT: Final = 2.0**24
_AT_ONCE: Final = 98_304
"""Components that are added at once: few enough that what is computed of them stays in the cache."""
_EXACT: Final = 2.0**53
_NARROW: Final = 4
"""Bytes of whole numbers of which 2^22 add up to less than :data:`_EXACT`."""
_AXIS_STARTS: Final = np.arange(0, AXES * CELLS, CELLS)
_HEADER: Final = struct.Struct("<IdB")
"""Dimensions, sum of squared norms, and whether the sum of the vectors is in whole units."""


class SeriesSketch(Protocol):
    """What is kept of ``count`` values of one kind. Immutable: :meth:`add` and :meth:`merge` return a new one.

    Merging is associative and commutative to the bit, with the empty sketch as its neutral element, and adding
    values in any cut is adding them at once.
    """

    @property
    def count(self) -> int:
        """How many values it holds."""
        ...

    def add(self, values: Any) -> Self:
        """This sketch with ``values``. Raises :class:`SketchError` when they are not of its kind."""
        ...

    def merge(self, *others: "SeriesSketch") -> Self:
        """The sketch of the values of all. Raises :class:`SketchError` when they do not fit together."""
        ...

    def emptied(self) -> Self:
        """The sketch of no values that merges with this one."""
        ...

    def to_bytes(self) -> bytes:
        """A compact, versioned form."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """What is kept of ``count`` vectors."""

    count: int
    total: NDArray[np.float64]
    """Sum of the vectors, shape ``(dimensions,)``."""
    squares: float
    """Sum of the squared norms of the vectors."""
    cells: NDArray[np.int64]
    """Vectors per axis and cell, shape ``(AXES * CELLS,)``; every axis holds ``count``."""

    @classmethod
    def empty(cls, dimensions: int) -> "Sketch":
        """The sketch of no vectors. Raises :class:`SketchError` for an impossible number of dimensions."""
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise SketchError(f"a sketch has 1 to {MAX_DIMENSIONS} dimensions, not {dimensions}")
        return cls(0, np.zeros(dimensions), 0.0, np.zeros(AXES * CELLS, dtype=np.int64))

    @property
    def dimensions(self) -> int:
        """Length of the vectors."""
        return len(self.total)

    def emptied(self) -> "Sketch":
        """The sketch of no vectors of these dimensions."""
        return Sketch.empty(self.dimensions)

    def add(self, values: NDArray[Any]) -> "Sketch":
        """This sketch with vectors, shape ``(n, dimensions)``, any float type, all finite as float32. Raises
        :class:`SketchError` for others.

        A zero vector counts as a vector: it shortens the mean and turns it nowhere.
        """
        if values.ndim != 2 or values.shape[1] != self.dimensions:
            raise SketchError(f"vectors of shape {values.shape} do not fit {self.dimensions} dimensions")
        added = self
        rows = max(_AT_ONCE // self.dimensions, 1)
        for start in range(0, len(values), rows):
            added = added._with(values[start : start + rows].astype(np.float32, copy=False))
        return added

    def _with(self, vectors: NDArray[np.float32]) -> "Sketch":
        units = np.rint(vectors.astype(np.float64) * _UNIT)
        squares = np.einsum("ij,ij->i", units, units) / _UNIT**2
        if not np.isfinite(squares).all():
            raise SketchError("a sketch of embeddings takes finite vectors")
        return Sketch(
            self.count + len(vectors),
            self.total + units.sum(axis=0) / _UNIT,
            self.squares + float(np.rint(squares * _UNIT).sum()) / _UNIT,
            self.cells + profile(vectors, np.sqrt(squares)),
        )

    def merge(self, *others: SeriesSketch) -> "Sketch":
        """The sketch of the vectors of all."""
        count, total, squares, cells = self.count, self.total.copy(), self.squares, self.cells.copy()
        for other in others:
            if not isinstance(other, Sketch):
                raise SketchError("a sketch of embeddings merges with embeddings only")
            if other.dimensions != self.dimensions:
                words = f"{other.dimensions} dimensions does not merge with one of {self.dimensions}"
                raise SketchError(f"a sketch of {words}")
            count += other.count
            squares += other.squares
            total += other.total
            cells += other.cells
        return Sketch(count, total, squares, cells)

    def to_bytes(self) -> bytes:
        """A compact, versioned form; sums over few documents are mostly zeros and shrink well."""
        units = self.total * _UNIT
        whole = bool((np.abs(units) < _EXACT).all())
        body = pack_integers(units.astype(np.int64) if whole else self.total.view(np.int64))
        header = _HEADER.pack(self.dimensions, self.squares, whole)
        return frame(EMBEDDING, self.count) + header + body + pack_integers(self.cells)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Sketch":
        """Read :meth:`to_bytes`. Raises :class:`SketchError` saying what is wrong with the bytes."""
        return cls.merged([data])

    @classmethod
    def merged(cls, rows: Sequence[bytes]) -> "Sketch":
        """What at least one :meth:`to_bytes` gives when they are read and merged one after the other. Raises
        :class:`SketchError` saying what is wrong with the bytes; their histograms are looked at together."""
        found = [_Parts.of(data) for data in rows]
        dimensions = found[0].dimensions
        for parts in found:
            if parts.dimensions != dimensions:
                words = f"{parts.dimensions} dimensions does not merge with one of {dimensions}"
                raise SketchError(f"a sketch of {words}")
        count = sum(parts.count for parts in found)
        cells = sum_integers([parts.cells for parts in found], AXES * CELLS)
        if cells.min() < 0 or (np.add.reduceat(cells, _AXIS_STARTS) != count).any():
            raise SketchError("the sketch's histogram is damaged")
        squares = 0.0
        for parts in found:
            # One after the other: since Python 3.12 ``sum`` carries what floats round away.
            squares += parts.squares
        return cls(count, _total(found), squares, cells)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A sketch's bytes, cut but not unpacked."""

    count: int
    dimensions: int
    squares: float
    whole: bool
    total: Packed
    cells: Packed

    @classmethod
    def of(cls, data: bytes) -> "_Parts":
        kind, count, body = read_frame(data)
        if kind != EMBEDDING:
            raise SketchError("the sketch is not one of embeddings")
        if len(body) < _HEADER.size:
            raise SketchError("the sketch ends too early")
        dimensions, squares, whole = _HEADER.unpack_from(body)
        if not 1 <= dimensions <= MAX_DIMENSIONS or not 0 <= squares < float("inf"):
            raise SketchError("the sketch's header is damaged")
        total, rest = cut_integers(body[_HEADER.size :], dimensions)
        cells, rest = cut_integers(rest, AXES * CELLS)
        if rest:
            raise SketchError("the sketch's histogram is damaged")
        return cls(count, dimensions, squares, bool(whole), total, cells)


def _total(found: Sequence[_Parts]) -> NDArray[np.float64]:
    """The sum of the vectors of all."""
    dimensions = found[0].dimensions
    # Whole numbers this narrow add up to what their floats do, to the bit.
    if all(parts.whole and parts.total.width <= _NARROW for parts in found):
        return sum_integers([parts.total for parts in found], dimensions) / _UNIT
    total = np.zeros(dimensions)
    for parts in found:
        sums = sum_integers([parts.total], dimensions)
        vector = sums / _UNIT if parts.whole else sums.view(np.float64)
        if not parts.whole and not np.isfinite(vector).all():
            raise SketchError("the sketch's vector is not finite")
        total += vector
    return total


S = TypeVar("S", bound=SeriesSketch)


def merge_all(sketches: Iterable[S]) -> S | None:
    """The sketch of everything in ``sketches``; ``None`` when there are none. Raises :class:`SketchError` when
    they do not fit together."""
    held = list(sketches)
    return held[0].merge(*held[1:]) if held else None
