"""Two sketches of one kind, brought to a common form that the metrics read."""

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np

from streams.engines.drift import distances
from streams.engines.drift.category_sketch import CategorySketch
from streams.engines.drift.directions import AXES, CELLS, POSITIONS
from streams.engines.drift.distances import Counts, Floats
from streams.engines.drift.number_sketch import NumberSketch
from streams.engines.drift.series import AnySketch, SeriesKind, kind_of
from streams.engines.drift.sketch import Sketch

_VIEWS: Final = 32
"""Frequencies of the kernel on numbers."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A sample's mean as a sum of vectors."""

    count: int
    total: Floats
    squares: float
    """Sum of the squared norms."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A baseline and a current sample on the same cells."""

    kind: SeriesKind
    baseline: Counts
    """Shape ``(axes, cells)``."""
    current: Counts
    positions: Floats
    """Where the cells are, rising, shape ``(cells,)``; without meaning for categories."""

    def bins(self) -> tuple[Counts, Counts]:
        """Counts in bins that hold enough documents each."""
        if self.kind == "category":
            return distances.frequent_bins(self.baseline, self.current)
        return distances.equal_bins(self.baseline, self.current)

    def views(self) -> Floats:
        """The phases of the cells for :func:`distances.mmd`."""
        if self.kind == "embedding":
            return self.positions[np.newaxis, :]
        return kernel_views(self.positions, self.bandwidth())

    def bandwidth(self) -> float:
        """About the median distance between two numbers of both samples, from their quartiles (0.707 of the
        distance between these for normal numbers); where the quartiles are equal, the standard deviation."""
        share = ((distances.shares(self.baseline) + distances.shares(self.current)) / 2)[0]
        low, high = np.interp((0.25, 0.75), share.cumsum() - share / 2, self.positions)
        if high > low:
            return float(0.707 * (high - low))
        middle = share @ self.positions
        return float(np.sqrt(share @ (self.positions - middle) ** 2)) or 1.0


def pair(baseline: AnySketch, current: AnySketch) -> Pair:
    """Both samples on common cells. They are of one kind and, for embeddings, of equal dimensions."""
    if isinstance(baseline, Sketch) and isinstance(current, Sketch):
        shape = AXES, CELLS
        return Pair("embedding", baseline.cells.reshape(shape), current.cells.reshape(shape), POSITIONS)
    if isinstance(baseline, NumberSketch) and isinstance(current, NumberSketch):
        return _numbers(baseline, current)
    if isinstance(baseline, CategorySketch) and isinstance(current, CategorySketch):
        names = baseline.merge(current).named
        one, other = (sketch.restricted(names)[np.newaxis, :] for sketch in (baseline, current))
        return Pair("category", one, other, np.zeros(0))
    raise TypeError(f"{kind_of(baseline)} and {kind_of(current)} are not compared")


def _numbers(baseline: NumberSketch, current: NumberSketch) -> Pair:
    """Each sample keeps its own cells: one that is told apart more finely loses nothing."""
    middles = baseline.middles, current.middles
    positions = np.union1d(*middles)
    counts = np.zeros((2, 1, len(positions)), dtype=np.int64)
    for row, sketch, own in zip(counts, (baseline, current), middles, strict=True):
        row[0, np.searchsorted(positions, own)] = sketch.counts
    return Pair("number", counts[0], counts[1], positions)


def means(baseline: AnySketch, current: AnySketch) -> tuple[Mean, Mean]:
    """Both samples as sums of vectors; a category is the vector with one 1 at its place."""
    if isinstance(baseline, Sketch) and isinstance(current, Sketch):
        one, other = (Mean(sketch.count, sketch.total, sketch.squares) for sketch in (baseline, current))
        return one, other
    common = pair(baseline, current)
    one, other = (
        Mean(sketch.count, counts[0].astype(np.float64), float(sketch.count))
        for sketch, counts in ((baseline, common.baseline), (current, common.current))
    )
    return one, other


def kernel_views(positions: Floats, bandwidth: float) -> Floats:
    """The phases of numbers for a Gaussian kernel of ``bandwidth``: shape ``(views, positions)``."""
    return _frequencies()[:, np.newaxis] * positions / bandwidth


@lru_cache(maxsize=1)
def _frequencies() -> Floats:
    """Evenly spaced quantiles of the positive half of a normal distribution, the spectrum of a Gaussian."""
    normal = NormalDist()
    return np.array([normal.inv_cdf(0.5 + (view + 0.5) / (2 * _VIEWS)) for view in range(_VIEWS)])
