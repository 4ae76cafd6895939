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
_PAIRS: Final = 1_024


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows divided by their length, float64, shape kept; a zero row stays zero."""
    wide = np.ascontiguousarray(vectors, dtype=np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1))
    lengths[lengths == 0.0] = 1.0
    unit: NDArray[np.float64] = wide / lengths[:, None]
    return unit


def margin(dimensions: int) -> float:
    """How far a float32 product of unit rows may be from the exact cosine: the bound of a dot product of
    ``d`` terms, d·u (Higham, "Accuracy and Stability of Numerical Algorithms", 3.1), with the rounding of its
    two inputs and of the score on top."""
    return 1e-5 + 1.5 * dimensions * 2.0**-24


def pair_cosines(
    left: NDArray[np.float64],
    left_rows: NDArray[np.intp],
    right: NDArray[np.float64],
    right_rows: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Dot products of pairs of unit rows, named by their indices into ``left`` and ``right``; shape ``(pairs,)``.

    Each pair's sum is numpy's pairwise sum over its own ``d`` products, whatever the number of pairs.
    """
    out = np.empty(len(left_rows), dtype=np.float64)
    for start in range(0, len(left_rows), _PAIRS):
        stop = start + _PAIRS
        products = left[left_rows[start:stop]]
        products *= right[right_rows[start:stop]]
        out[start:stop] = products.sum(axis=1)
    return out
