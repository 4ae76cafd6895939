"""Drift metrics over two sketches: one small protocol, one registry, one way to measure.

A plain distance between two samples is biased by their sizes: each carries the noise of its own draw, so two
samples of one and the same source look apart (150 headlines a month read a cosine distance of 0.2-0.4 without any
change). Every metric here is corrected for that, so that it is about 0 when nothing has changed and reads the same
for small and large samples: by an unbiased estimate (cosine_drift, mmd) or by subtracting what the distance is on
average without change (the others; distances are corrected as squares). A reading may be a little below 0.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.engines.drift import distances
from streams.engines.drift.comparison import Mean, means, pair
from streams.engines.drift.series import AnySketch, SeriesKind, kind_of
from streams.engines.drift.sketch import Sketch


@dataclass(frozen=True, slots=True)
class Reading:
    """What a metric says: a value, or ``None`` when the samples do not carry one. ``reason`` is in words."""

    value: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Metric:
    """Compares a baseline with what is current.

    ``compare`` is called only with sketches of one kind it is for, of equal dimensions, that hold at least two
    values each. Larger values mean more drift; a value is finite, and about 0 on average when nothing has changed.
    """

    compare: Callable[[AnySketch, AnySketch], Reading]
    kinds: frozenset[SeriesKind]
    squared: bool
    """Whether the value grows with the square of a change (a divergence) or like the change (a distance)."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One comparison. When ``insufficient``, ``value`` is ``None`` and no trigger may fire on it."""

    metric: str
    value: float | None
    baseline_count: int
    current_count: int
    insufficient: bool
    reason: str


def squared_mean(sketch: Sketch | Mean) -> float:
    """Unbiased estimate of |μ|²: the mean of x·y over all pairs of different vectors,
    (|Σx|² - Σ|x|²) / (n(n-1)). It may be negative. Needs two vectors."""
    spread = float(sketch.total @ sketch.total) - sketch.squares
    return spread / (sketch.count * (sketch.count - 1))


def mean_product(one: Sketch | Mean, other: Sketch | Mean) -> float:
    """Unbiased estimate of μ₁·μ₂: the product of the means of two independent samples."""
    return float(one.total @ other.total) / (one.count * other.count)


def cosine_drift(baseline: AnySketch, current: AnySketch) -> Reading:
    """Cosine distance of the mean directions: 1 - μ₁·μ₂ / sqrt(|μ₁|² |μ₂|²), with unbiased estimates inside.
    Embeddings, and categories as their shares.

    Meaning: 0 for the same mixture of topics, 1 for mixtures that share nothing, up to 2 for opposite ones; a
    little below 0 when two samples happen to agree better than chance. It ignores length and spread, so a change
    of variance alone, or two topics moving apart around one mean, does not show: prefer :func:`mmd` where that
    matters. A debiased norm that is not positive means that the sample's mean direction is lost in its noise: the
    reading is insufficient.

    Source: design section 5; the estimator of |μ|² is the U-statistic of Chen & Qin, "A two-sample test for
    high-dimensional data", Annals of Statistics 38 (2010).
    """
    one, other = means(baseline, current)
    squares = {"baseline": squared_mean(one), "current window": squared_mean(other)}
    for sample, square in squares.items():
        if square <= 0:
            return Reading(None, f"the {sample}'s mean direction is lost in its noise")
    value = 1.0 - mean_product(one, other) / math.sqrt(math.prod(squares.values()))
    return Reading(value, f"cosine distance of the mean directions is {value:.4f}")


def mmd(baseline: AnySketch, current: AnySketch) -> Reading:
    """Squared maximum mean discrepancy, unbiased, 0 to 2. Embeddings, numbers and categories.

    Meaning: how far apart the samples' mean positions are in the space of a kernel that sees every change of a
    distribution, not of its mean only. Kernels: on embeddings the Gaussian exp(-|u - v|² / 2) of the directions
    u = x / |x|, by 64 fixed random frequencies; on numbers a Gaussian as wide as the median distance of the
    numbers at hand; on categories 1 for equal ones, else 0, which makes it the squared distance of the shares.

    Source: Gretton et al., "A kernel two-sample test", JMLR 13 (2012), the unbiased statistic of lemma 6.
    """
    if kind_of(baseline) == "category":
        one, other = means(baseline, current)
        value = squared_mean(one) + squared_mean(other) - 2.0 * mean_product(one, other)
    else:
        common = pair(baseline, current)
        value = distances.mmd(common.baseline, common.current, common.views())
    return Reading(value, f"squared maximum mean discrepancy is {value:.6f}")


def psi(baseline: AnySketch, current: AnySketch) -> Reading:
    """Population stability index, less its expectation without change. Embeddings, numbers and categories.

    Meaning: sum over bins of (p - q) ln(p / q). By custom 0.1 is some change and 0.25 a large one, on numbers and
    categories. Bins: the deciles of the two samples' mean distribution (fewer where samples are small); the
    categories, rare ones together. On embeddings the mean over 64 fixed random axes of the directions: there it is
    far smaller, for most axes cross a change at an angle.
    """
    one, other = pair(baseline, current).bins()
    value = distances.psi(one, other) - distances.degrees(one, other) * distances.noise(one, other)
    return Reading(value, f"population stability index is {value:.4f}")


def js(baseline: AnySketch, current: AnySketch) -> Reading:
    """Jensen-Shannon distance (natural logarithm), corrected for the samples' sizes. Embeddings, numbers and
    categories; bins and axes as :func:`psi`.

    Meaning: the square root of the divergence, 0 for equal distributions, sqrt(ln 2) = 0.83 for disjoint ones.
    Bounded where psi is not, so one rare bin cannot dominate it.

    Source: Endres & Schindelin, "A new metric for probability distributions", IEEE Trans. Inf. Theory 49 (2003).
    """
    one, other = pair(baseline, current).bins()
    expected = distances.degrees(one, other) * distances.noise(one, other) / 8
    value = _root(distances.js_divergence(one, other) - expected)
    return Reading(value, f"Jensen-Shannon distance is {value:.4f}")


def ks(baseline: AnySketch, current: AnySketch) -> Reading:
    """Kolmogorov-Smirnov distance, corrected for the samples' sizes. Embeddings and numbers.

    Meaning: the greatest difference between the cumulative shares, 0 to 1; it depends on the order of the numbers
    only, so no outlier moves it. On embeddings the root mean square over 64 fixed random axes of the directions.
    """
    common = pair(baseline, current)
    square, expected = distances.ks_squares(common.baseline, common.current)
    value = _root(square - expected)
    return Reading(value, f"Kolmogorov-Smirnov distance is {value:.4f}")


def wasserstein(baseline: AnySketch, current: AnySketch) -> Reading:
    """Earth mover's distance W1, corrected for the samples' sizes. Embeddings and numbers.

    Meaning: how far the values moved on average, in the unit of the numbers; unlike :func:`ks` it says how far,
    and a single outlier shows. On embeddings the root mean square over 64 fixed random axes of the directions
    (sliced Wasserstein distance), in standard deviations of a random unit vector.

    Source: Bonneel et al., "Sliced and Radon Wasserstein barycenters of measures", JMIV 51 (2015).
    """
    common = pair(baseline, current)
    square, expected = distances.wasserstein_squares(common.baseline, common.current, common.positions)
    value = _root(square - expected)
    return Reading(value, f"Wasserstein distance is {value:.4f}")


def _root(square: float) -> float:
    """The root of a corrected square, with its sign."""
    return math.copysign(math.sqrt(abs(square)), square)


_ALL: Final = frozenset[SeriesKind]({"embedding", "number", "category"})

METRICS: Final[Mapping[str, Metric]] = {
    "cosine_drift": Metric(cosine_drift, frozenset({"embedding", "category"}), squared=True),
    "psi": Metric(psi, _ALL, squared=True),
    "js": Metric(js, _ALL, squared=False),
    "ks": Metric(ks, frozenset({"embedding", "number"}), squared=False),
    "wasserstein": Metric(wasserstein, frozenset({"embedding", "number"}), squared=False),
    "mmd": Metric(mmd, _ALL, squared=True),
}
"""Every metric by the name a trigger's ``schedule_config.metric`` gives it."""


def find_metric(name: str, kind: SeriesKind | None = None) -> Metric:
    """The metric called ``name``. Raises ``ValueError`` that lists the known ones, or says which kinds it is for
    when ``kind`` is given and not one of them."""
    metric = METRICS.get(name)
    if metric is None:
        raise ValueError(f"unknown metric {name!r}; known metrics: {', '.join(sorted(METRICS))}")
    if kind is not None and kind not in metric.kinds:
        fitting = ", ".join(sorted(other for other in METRICS if kind in METRICS[other].kinds))
        raise ValueError(f"metric {name} does not apply to {_PLURALS[kind]}; metrics that do: {fitting}")
    return metric


_PLURALS: Final[Mapping[SeriesKind, str]] = {
    "embedding": "embeddings",
    "number": "numbers",
    "category": "categories",
}


def measure(metric: str, baseline: AnySketch, current: AnySketch, *, min_sample: int) -> Measurement:
    """Compare ``current`` with ``baseline``. Samples of fewer than ``min_sample`` values (never fewer than two)
    are insufficient. Raises ``ValueError`` for an unknown metric and for one that does not apply to the kind of
    the baseline."""
    found = find_metric(metric, kind_of(baseline))
    needed = max(min_sample, 2)
    reading = _obstacle(baseline, current, needed) or _compared(found, baseline, current)
    return Measurement(
        metric=metric,
        value=reading.value,
        baseline_count=baseline.count,
        current_count=current.count,
        insufficient=reading.value is None,
        reason=reading.reason,
    )


def _compared(metric: Metric, baseline: AnySketch, current: AnySketch) -> Reading:
    # One number beyond 1e154, and its square is none.
    with np.errstate(over="ignore", invalid="ignore"):
        reading = metric.compare(baseline, current)
    if reading.value is None or math.isfinite(reading.value):
        return reading
    return Reading(None, "the values are too large to be measured by this metric")


def _obstacle(baseline: AnySketch, current: AnySketch, needed: int) -> Reading | None:
    """Why the two cannot be compared by any metric."""
    for name, sketch in (("baseline", baseline), ("current window", current)):
        if sketch.count < needed:
            return Reading(None, f"the {name} has {sketch.count} documents, fewer than the {needed} needed")
    if kind_of(baseline) != kind_of(current):
        words = f"holds {_PLURALS[kind_of(baseline)]} and the current window {_PLURALS[kind_of(current)]}"
        return Reading(None, f"the baseline {words}: the feature has changed")
    if isinstance(baseline, Sketch) and isinstance(current, Sketch) and baseline.dimensions != current.dimensions:
        return Reading(
            None,
            f"the baseline has {baseline.dimensions} dimensions and the current window {current.dimensions}:"
            " the feature has changed",
        )
    return None
