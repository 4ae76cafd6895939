"""A mergeable sketch of vectors: enough to compare the means of two samples without bias (design section 5).

A sketch keeps, of n vectors x in d dimensions, the count n, the sum Σx and the sum of squared norms Σ|x|².
All three add up, so sketches of partitions, time buckets and replays combine in any order to the sketch of all
their vectors (up to float64 rounding), and a window costs the same whatever the number of documents in it.
"""

import math
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.features import MAX_DIMENSIONS

_MAGIC: Final = b"TWSK"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<4sHIQd")
"""Magic, version, dimensions, count, sum of squared norms; then the sum vector zlib of little-endian float64."""


class SketchError(ValueError):
    """Bytes that are not a sketch, or vectors and sketches whose dimensions differ."""


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """What is kept of ``count`` vectors. Immutable: :meth:`add` and :meth:`merge` return a new one."""

    count: int
    total: NDArray[np.float64]
    """Sum of the vectors, shape ``(dimensions,)``."""
    squares: float
    """Sum of the squared norms of the vectors."""

    @classmethod
    def empty(cls, dimensions: int) -> "Sketch":
        """The sketch of no vectors. Raises :class:`SketchError` for an impossible number of dimensions."""
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise SketchError(f"a sketch has 1 to {MAX_DIMENSIONS} dimensions, not {dimensions}")
        return cls(0, np.zeros(dimensions), 0.0)

    @property
    def dimensions(self) -> int:
        """Length of the vectors."""
        return len(self.total)

    def add(self, vectors: NDArray[Any]) -> "Sketch":
        """This sketch with ``vectors``, shape ``(n, dimensions)``, any float type, all finite.

        A zero vector counts as a vector: it shortens the mean and turns it nowhere.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dimensions:
            raise SketchError(f"vectors of shape {vectors.shape} do not fit {self.dimensions} dimensions")
        wide = vectors.astype(np.float64, copy=False)
        squares = float(np.einsum("ij,ij->", wide, wide))
        return Sketch(self.count + len(vectors), self.total + wide.sum(axis=0), self.squares + squares)

    def merge(self, other: "Sketch") -> "Sketch":
        """The sketch of the vectors of both. Commutative and associative up to rounding."""
        if other.dimensions != self.dimensions:
            raise SketchError(f"a sketch of {other.dimensions} dimensions does not merge with {self.dimensions}")
        return Sketch(self.count + other.count, self.total + other.total, self.squares + other.squares)

    def to_bytes(self) -> bytes:
        """A compact, versioned form; sums over few documents are mostly zeros and compress well."""
        header = _HEADER.pack(_MAGIC, _VERSION, self.dimensions, self.count, self.squares)
        return header + zlib.compress(self.total.astype("<f8", copy=False).tobytes(), level=1)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Sketch":
        """Read :meth:`to_bytes`. Raises :class:`SketchError` saying what is wrong with the bytes."""
        dimensions, count, squares = _header(data)
        size = dimensions * 8
        inflate = zlib.decompressobj()
        try:
            body = inflate.decompress(data[_HEADER.size :], size)
            # A stream that holds more than it should yields more here; its end mark may need one more call.
            surplus = inflate.decompress(inflate.unconsumed_tail, 1)
        except zlib.error as error:
            raise SketchError(f"the sketch's vector is damaged: {error}") from error
        if len(body) != size or surplus or not inflate.eof or inflate.unused_data:
            raise SketchError(f"the sketch's vector is not {dimensions} numbers")
        total = np.frombuffer(body, dtype="<f8").astype(np.float64)
        if not np.isfinite(total).all():
            raise SketchError("the sketch's vector is not finite")
        return cls(count, total, squares)


def _header(data: bytes) -> tuple[int, int, float]:
    if len(data) < _HEADER.size or data[: len(_MAGIC)] != _MAGIC:
        raise SketchError("these bytes are not a sketch")
    _, version, dimensions, count, squares = _HEADER.unpack_from(data)
    if version != _VERSION:
        raise SketchError(f"the sketch has version {version}, this program reads version {_VERSION}")
    if not 1 <= dimensions <= MAX_DIMENSIONS or not math.isfinite(squares) or squares < 0:
        raise SketchError("the sketch's header is damaged")
    return dimensions, count, squares


def merge_all(sketches: Iterable[Sketch]) -> Sketch | None:
    """The sketch of everything in ``sketches``; ``None`` when there are none. Raises :class:`SketchError` when
    their dimensions differ."""
    merged: Sketch | None = None
    for sketch in sketches:
        merged = sketch if merged is None else merged.merge(sketch)
    return merged
