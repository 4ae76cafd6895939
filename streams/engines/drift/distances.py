"""Distances between two samples that are given as counts, and what they read when nothing has changed.

Counts have the shape ``(axes, cells)``; a distance is computed on every axis and is the mean over the axes.
Samples of one and the same source never look equal: each distance below comes with its expectation under no
change, for samples of n and m values, which the metrics subtract. Throughout, ``noise`` is 1/n + 1/m.
"""

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

SMALLEST_BIN: Final = 5
"""Documents that a bin of psi and js holds on average in the smaller sample: the rule for chi-square tests."""
_BINS: Final = 10
"""Most bins of an ordered axis: deciles, as is custom for psi."""
_NODES: Final = 64
_KOLMOGOROV_MEAN: Final = math.sqrt(math.pi / 2) * math.log(2)


def shares(counts: Counts) -> Floats:
    """Counts as shares of each axis."""
    return np.asarray(counts / counts.sum(axis=1, keepdims=True), dtype=np.float64)


def noise(one: Counts, other: Counts) -> float:
    """1/n + 1/m."""
    return 1.0 / int(one[0].sum()) + 1.0 / int(other[0].sum())


def equal_bins(one: Counts, other: Counts) -> tuple[Counts, Counts]:
    """Neighbouring cells of ordered axes joined to at most ten bins of about equal share in the mean of both
    samples, fewer where the smaller sample would leave them empty."""
    smaller = min(int(one[0].sum()), int(other[0].sum()))
    bins = max(2, min(_BINS, smaller // SMALLEST_BIN))
    share = (shares(one) + shares(other)) / 2
    middle = share.cumsum(axis=1) - share / 2
    into = np.minimum((middle * bins).astype(np.intp), bins - 1) + bins * np.arange(len(one))[:, np.newaxis]
    return _joined(one, into, bins), _joined(other, into, bins)


def frequent_bins(one: Counts, other: Counts) -> tuple[Counts, Counts]:
    """The cells of one unordered axis with the rare ones, which say nothing by themselves, in a single bin."""
    smaller = min(int(one.sum()), int(other.sum()))
    rare = ((shares(one) + shares(other)) / 2 * smaller < SMALLEST_BIN)[0]
    return _together(one, rare), _together(other, rare)


def _together(counts: Counts, rare: NDArray[np.bool_]) -> Counts:
    return np.append(counts[:, ~rare], counts[:, rare].sum(axis=1, keepdims=True), axis=1)


def _joined(counts: Counts, into: NDArray[np.intp], bins: int) -> Counts:
    size = bins * len(counts)
    joined = np.bincount(into.ravel(), weights=counts.ravel(), minlength=size).astype(np.int64)
    return joined.reshape(len(counts), bins)


def degrees(one: Counts, other: Counts) -> float:
    """Bins that hold anything, less one, on average over the axes."""
    return float(((one + other) > 0).sum(axis=1).mean()) - 1.0


def psi(one: Counts, other: Counts) -> float:
    """Population stability index, sum of (p - q) ln(p / q). Inside the logarithm half a document is added to every
    bin, so that an empty one has one. Without change it is ``degrees * noise`` on average (Yurdakul 2018,
    "Statistical properties of population stability index")."""
    held = (one + other) > 0
    difference = shares(one) - shares(other)
    return float((difference * (_logarithms(one, held) - _logarithms(other, held))).sum(axis=1).mean())


def _logarithms(counts: Counts, held: NDArray[np.bool_]) -> Floats:
    """Logarithms of the shares with half a document more in every held bin; 0 elsewhere."""
    added = np.where(held, counts + 0.5, 0.0)
    share = added / added.sum(axis=1, keepdims=True)
    return np.asarray(np.log(share, out=np.zeros_like(share), where=held), dtype=np.float64)


def js_divergence(one: Counts, other: Counts) -> float:
    """Jensen-Shannon divergence in nats, 0 to ln 2. Without change it is ``degrees * noise / 8`` on average
    (its expansion around p = q is an eighth of the chi-square distance)."""
    p, q = shares(one), shares(other)
    return float(((_entropies(p, q) + _entropies(q, p)) / 2).sum(axis=1).mean())


def _entropies(p: Floats, q: Floats) -> Floats:
    """p ln(p / mean of p and q), 0 where p is 0."""
    ratio = np.divide(2 * p, p + q, out=np.ones_like(p), where=p > 0)
    return np.asarray(p * np.log(ratio))


def ks_squares(one: Counts, other: Counts) -> tuple[float, float]:
    """Mean square over the axes of the greatest difference between the cumulative shares, and what it is
    without change: pi²/12 * noise for continuous values (the second moment of Kolmogorov's distribution). Of
    cells only the cuts between them are seen, by which the greatest difference of a random walk is smaller by
    0.5826 standard deviations of a step (Broadie, Glasserman & Kou 1997, after Chernoff and Siegmund); and it is
    at most the sum over the cuts, which says it for very few."""
    p, q = shares(one), shares(other)
    gap = np.abs((p - q).cumsum(axis=1)).max(axis=1)
    share = (p + q) / 2
    missed = 0.5826 * np.sqrt((share**2).sum(axis=1))
    below = np.minimum(share.cumsum(axis=1), 1.0)
    greatest = np.minimum(
        math.pi**2 / 12 - 2 * _KOLMOGOROV_MEAN * missed + missed**2, (below * (1 - below)).sum(axis=1)
    )
    expected = greatest * noise(one, other)
    return float((gap**2).mean()), float(expected.mean())


def wasserstein_squares(one: Counts, other: Counts, positions: Floats) -> tuple[float, float]:
    """Mean square over the axes of the area between the cumulative shares (the earth mover's distance W1, in the
    unit of ``positions``, shape ``(cells,)``, rising), and what it is without change.

    Then the difference at a cut is about normal with variance F(1 - F) * noise, a Brownian bridge, so the
    expected square is the double sum of E|X Y| over pairs of cuts, for correlated normals
    (2 / pi)(sqrt(1 - r²) + r asin r) of their deviations' product.
    """
    p, q = shares(one)[:, :-1], shares(other)[:, :-1]
    widths = np.diff(positions)
    area = (np.abs((p - q).cumsum(axis=1)) * widths).sum(axis=1)
    below = np.clip(((p + q) / 2).cumsum(axis=1), 0.0, 1.0)
    weights = np.sqrt(below * (1 - below)) * widths
    if below.shape[1] > _NODES:
        below, weights = _nodes(below[0], weights[0])
    return float((area**2).mean()), _expected_square(below, weights) * noise(one, other)


def _nodes(below: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Cuts of one axis joined to at most :data:`_NODES` that weigh about the same."""
    middle = (weights.cumsum() - weights / 2) / max(weights.sum(), 1e-300)
    into = np.minimum((middle * _NODES).astype(np.intp), _NODES - 1)
    joined = np.bincount(into, weights=weights, minlength=_NODES).astype(np.float64)
    centre = np.bincount(into, weights=weights * below, minlength=_NODES).astype(np.float64)
    held = joined > 0
    return (centre[held] / joined[held])[np.newaxis], joined[held][np.newaxis]


def _expected_square(below: Floats, weights: Floats) -> float:
    """The double sum over the pairs of cuts, where F is ``below``, rising, on average over the axes."""
    # A cut with everything on one side has no weight and any odds.
    odds = np.sqrt(below / np.maximum(1 - below, 1e-12) + 1e-24)
    # A pair counts twice, a cut with itself once: then r = 1 and the product is 1.
    low, high = _pairs(below.shape[1])
    related = np.minimum(odds[:, low] / odds[:, high], 1.0)
    products = np.sqrt(1 - related**2) + related * np.arcsin(related)
    pairs = np.einsum("ap,ap,ap->a", weights[:, low], products, weights[:, high])
    return float((4 / math.pi * pairs + (weights**2).sum(axis=1)).mean())


@lru_cache(maxsize=_NODES)
def _pairs(cuts: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The places of the lower and of the higher one of every two cuts."""
    return np.triu_indices(cuts, 1)


def mmd(one: Counts, other: Counts, views: Floats) -> float:
    """Squared maximum mean discrepancy of the kernel mean over ``views`` of cos(z - z'), unbiased: pairs of a
    document with itself are left out (Gretton et al. 2012, "A kernel two-sample test", lemma 6).

    ``views`` holds the phase of each cell, shape ``(views, cells)``; counts have one axis for all or one a view.
    """
    waves = np.exp(1j * views)
    sums = [(waves * counts).sum(axis=1) for counts in (one, other)]
    sizes = [int(counts[0].sum()) for counts in (one, other)]
    within = [
        float(((np.abs(total) ** 2 - size) / (size * (size - 1))).mean())
        for total, size in zip(sums, sizes, strict=True)
    ]
    across = float((sums[0] * sums[1].conj()).real.mean()) / (sizes[0] * sizes[1])
    return within[0] + within[1] - 2.0 * across
