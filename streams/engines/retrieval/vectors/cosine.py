"""Cosines, twice: fast in float32 to find candidates, exact in float64 to decide.

The float64 score is computed per pair in a fixed order, so it is the same bytes whatever else is in the batch
and however many alerts there are; the float32 product, whose last bits do depend on both, only nominates.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

DIGITS: Final = 6
"""Scores are rounded to this many decimals before they are compared or reported, so that a vector meets a
threshold of 1.0 with itself."""
ROUNDING: Final = 10.0**-DIGITS
"""More than rounding can add to a score."""
_HALF_WAY: Final = 1e-6
"""More than a cosine times a power of ten is off, in units of that power."""
_PAIRS: Final = 32
"""Pairs multiplied at a time: their products stay in the processor's cache."""
_SAFE: Final = (np.float32(1e-24), np.float32(1e24))
"""Squared lengths that float32 gives with full precision, whatever the dimensions."""


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows divided by their length, float64, shape kept; a zero row stays zero."""
    wide = np.ascontiguousarray(vectors, dtype=np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1))
    lengths[lengths == 0.0] = 1.0
    unit: NDArray[np.float64] = wide / lengths[:, None]
    return unit


def fast_unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """As :func:`unit_rows`, in float32 and within :func:`margin` of it."""
    squares = squared_lengths(vectors)
    if not safe_lengths(squares):
        return unit_rows(vectors).astype(np.float32)
    unit: NDArray[np.float32] = vectors * np.reciprocal(np.sqrt(squares))[:, None]
    return unit


def squared_lengths(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The square of each row's length, shape ``(rows,)``."""
    squares: NDArray[np.float32] = np.einsum("ij,ij->i", vectors, vectors)
    return squares


def safe_lengths(squares: NDArray[np.float32]) -> bool:
    """Whether squared lengths are such that float32 has not lost any of their precision."""
    return not len(squares) or bool(_SAFE[0] < squares.min() and squares.max() < _SAFE[1])


def margin(dimensions: int) -> float:
    """How far a float32 product of unit rows may be from the exact cosine: the bound of a dot product of
    ``d`` terms, d·u (Higham, "Accuracy and Stability of Numerical Algorithms", 3.1), for the product and half of
    it for the length of a row, with the rounding of the inputs and of the score on top."""
    return 1e-5 + 2.0 * dimensions * 2.0**-24


def cosines(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Dot products of unit rows, row by row; both of shape ``(pairs, dimensions)``, the result ``(pairs,)``.

    Each pair's sum is numpy's pairwise sum over its own ``d`` products, whatever the number of pairs.
    """
    found: NDArray[np.float64] = (left * right).sum(axis=1)
    return found


def pair_cosines(
    left: NDArray[np.float64],
    left_rows: NDArray[np.intp],
    right: NDArray[np.float64],
    right_rows: NDArray[np.intp],
) -> NDArray[np.float64]:
    """As :func:`cosines` for pairs named by their indices into ``left`` and ``right``; shape ``(pairs,)``."""
    out = np.empty(len(left_rows), dtype=np.float64)
    for start in range(0, len(left_rows), _PAIRS):
        stop = start + _PAIRS
        out[start:stop] = cosines(left[left_rows[start:stop]], right[right_rows[start:stop]])
    return out


def rounded(cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    """``round(cosine, DIGITS)`` of each, to the last bit.

    The nearest multiple of :data:`ROUNDING` is a whole number divided by a power of ten, and a division of whole
    numbers is exact to the last bit. Which multiple is nearest is only in doubt about half way between two.
    """
    scaled = cosines * 10.0**DIGITS
    whole = np.rint(scaled)
    found: NDArray[np.float64] = whole / 10.0**DIGITS
    for at in np.flatnonzero(np.abs(np.abs(scaled - whole) - 0.5) < _HALF_WAY).tolist():
        found[at] = round(float(cosines[at]), DIGITS)
    return found


def best_cosines(vectors: NDArray[np.float32], queries: NDArray[np.float64]) -> list[float]:
    """For each vector (a row of a length above zero) its best cosine over the queries (unit rows), rounded."""
    unit = unit_rows(vectors)
    best = np.full(len(unit), -np.inf)
    for query in queries:
        np.maximum(best, cosines(unit, np.broadcast_to(query, unit.shape)), out=best)
    # Adding zero makes -0.0 the 0.0 it is equal to.
    return [round(float(score), DIGITS) + 0.0 for score in best]
