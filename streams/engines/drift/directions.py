"""Fixed random directions, and how a sketch counts what vectors look like along each of them.

Distances between distributions of vectors are estimated from one-dimensional views: the histogram of the vectors'
*directions* (x / |x|) along :data:`AXES` random axes. With axes of independent standard normal components, a view
z of a unit vector is about standard normal, so one grid serves every feature; and the mean of exp(i z) over the
axes estimates the Gaussian kernel exp(-|u - v|² / 2), bandwidth 1 on the unit sphere (Rahimi & Recht 2007, "Random
features for large-scale kernel machines").

Everything is exact: vectors are rounded to whole multiples of 2^-14, axes have whole components (32 fair coins out
of 64, less their mean; standard deviation 4), and their products stay below 2^24, which float32 holds. So the same
vector falls into the same cells in every process, batch cut and BLAS.
"""

from functools import lru_cache
from hashlib import shake_256
from typing import Final

import numpy as np
from numpy.typing import NDArray

AXES: Final = 64
CELLS: Final = 32
"""Cells of an axis: a quarter of a standard deviation wide from -4 to 4; the outer ones are open."""
POSITIONS: Final = (np.arange(CELLS, dtype=np.float64) - (CELLS - 1) / 2) / 4.0
"""Where the cells' middles are, in standard deviations of a random unit vector."""

_SCALE: Final = 2.0**14
_COINS: Final = 64
_PER_CELL: Final = _SCALE  # 2^14 (vector) x 4 (axis) x 1/4 (width of a cell)


@lru_cache(maxsize=8)
def axes(dimensions: int) -> NDArray[np.float32]:
    """The axes, shape ``(dimensions, AXES)``, whole numbers from -32 to 32; the same ones for ever."""
    coins = shake_256(b"tidewatch drift axes").digest(dimensions * AXES * _COINS // 8)
    heads = np.unpackbits(np.frombuffer(coins, dtype=np.uint8)).reshape(dimensions, AXES, _COINS).sum(axis=2)
    found = (heads.astype(np.float32)) - _COINS / 2
    found.flags.writeable = False
    return np.asarray(found, dtype=np.float32)


def profile(vectors: NDArray[np.float32], lengths: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of ``vectors``, shape ``(n, dimensions)``, fall into each cell of each axis: shape
    ``(AXES * CELLS,)``. ``lengths`` are their norms; a zero vector lies in the middle of every axis."""
    scale = np.divide(_SCALE, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    directions = np.rint(vectors * scale.astype(np.float32)[:, np.newaxis])
    views = directions @ axes(vectors.shape[1])
    cells = np.clip(np.floor(views * np.float32(1 / _PER_CELL)) + CELLS // 2, 0, CELLS - 1).astype(np.intp)
    cells += np.arange(AXES) * CELLS
    return np.bincount(cells.ravel(), minlength=AXES * CELLS).astype(np.int64)
