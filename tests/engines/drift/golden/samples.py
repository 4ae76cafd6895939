"""Samples that are the same on every machine and with every library: quantiles of a low-discrepancy sequence."""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_NORMAL = NormalDist()
_STEPS = (0.6180339887498949, 0.7548776662466927, 0.8191725133961645, 0.8566748838545029, 0.8812714616335696)


def _uniform(n: int, axis: int) -> list[float]:
    return [((row + 1) * _STEPS[axis % len(_STEPS)] + 0.317 * axis) % 1.0 for row in range(n)]


def normal(n: int, mean: float = 0.0, deviation: float = 1.0, axis: int = 0) -> NDArray[np.float64]:
    """``n`` normal numbers."""
    return np.array([mean + deviation * _NORMAL.inv_cdf(min(max(u, 1e-9), 1 - 1e-9)) for u in _uniform(n, axis)])


NUMBERS = {
    "same": (normal(250), normal(200, axis=1)),
    "shifted": (normal(250), normal(200, mean=0.5, axis=1)),
    "wider": (normal(250), normal(200, deviation=1.7, axis=1)),
    "skewed": (np.exp(normal(250)), np.exp(normal(200, mean=0.3, deviation=1.2, axis=1))),
}
"""Baseline and current of each case, few enough that a sketch keeps every number."""

MANY_NUMBERS = {
    "same": (normal(4_000), normal(3_000, axis=1)),
    "shifted": (normal(4_000), normal(3_000, mean=0.5, axis=1)),
    "wider": (normal(4_000), normal(3_000, deviation=1.7, axis=1)),
}
"""For distances over bins."""


def _categories(n: int, shares: tuple[float, ...], axis: int) -> list[str]:
    edges = np.cumsum(shares)
    return ["abcdefgh"[int(np.searchsorted(edges, u * edges[-1], side="right"))] for u in _uniform(n, axis)]


CATEGORIES = {
    "same": (_categories(2000, (4, 3, 2, 1), 0), _categories(1500, (4, 3, 2, 1), 1)),
    "moved": (_categories(2000, (4, 3, 2, 1), 0), _categories(1500, (3, 3, 2, 2), 1)),
}


def _vectors(n: int, dimensions: int, shift: float, spread: float, seed: int) -> NDArray[np.float64]:
    """Points around a direction, normal by Knuth's linear congruential generator."""
    state = 12345 + seed
    rows = np.empty((n, dimensions))
    for row in range(n):
        for column in range(dimensions):
            state = (6364136223846793005 * state + 1442695040888963407) % 2**64
            rows[row, column] = _NORMAL.inv_cdf(((state >> 11) + 0.5) / 2**53)
    rows *= spread
    rows[:, 0] += 1.0
    rows[:, 1] += shift
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


VECTORS = {
    "same": (_vectors(300, 16, 0.0, 0.3, 0), _vectors(250, 16, 0.0, 0.3, 1)),
    "moved": (_vectors(300, 16, 0.0, 0.3, 0), _vectors(250, 16, 0.6, 0.3, 1)),
    "spread": (_vectors(300, 16, 0.0, 0.2, 0), _vectors(250, 16, 0.0, 0.6, 1)),
}
"""Unit vectors."""
