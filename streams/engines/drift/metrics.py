"""Drift metrics over two sketches: one small protocol, one registry, one way to measure.

A plain distance between two sample means is biased by the sample size: each mean carries the noise of its own
sample, so |mean|² is too large and two samples of one and the same source look apart (150 headlines a month read
0.2-0.4 without any change). Every metric here therefore works on the unbiased products of :func:`squared_mean`
and :func:`mean_product` (design section 5).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from streams.engines.drift.sketch import Sketch


@dataclass(frozen=True, slots=True)
class Reading:
    """What a metric says: a value, or ``None`` when the samples do not carry one. ``reason`` is in words."""

    value: float | None
    reason: str


class Metric(Protocol):
    """Compares a baseline with what is current.

    Called only with sketches of equal dimensions that hold at least two vectors each. Larger values mean more
    drift; a value is finite, and about 0 on average when nothing has changed.
    """

    def __call__(self, baseline: Sketch, current: Sketch) -> Reading: ...


@dataclass(frozen=True, slots=True)
class Measurement:
    """One comparison. When ``insufficient``, ``value`` is ``None`` and no trigger may fire on it."""

    metric: str
    value: float | None
    baseline_count: int
    current_count: int
    insufficient: bool
    reason: str


def squared_mean(sketch: Sketch) -> float:
    """Unbiased estimate of |μ|²: the mean of x·y over all pairs of different vectors,
    (|Σx|² - Σ|x|²) / (n(n-1)). It may be negative. Needs two vectors."""
    spread = float(sketch.total @ sketch.total) - sketch.squares
    return spread / (sketch.count * (sketch.count - 1))


def mean_product(one: Sketch, other: Sketch) -> float:
    """Unbiased estimate of μ₁·μ₂: the product of the means of two independent samples."""
    return float(one.total @ other.total) / (one.count * other.count)


def cosine_drift(baseline: Sketch, current: Sketch) -> Reading:
    """Cosine distance of the mean directions: 1 - μ₁·μ₂ / sqrt(|μ₁|² |μ₂|²), with unbiased estimates inside.

    Meaning: 0 for the same mixture of topics, 1 for mixtures that share nothing, up to 2 for opposite ones; a
    little below 0 when two samples happen to agree better than chance. It ignores length and spread, so a change
    of variance alone, or two topics moving apart around one mean, does not show: prefer :func:`mmd` on features
    that keep such information. A debiased norm that is not positive means that the sample's mean direction is
    lost in its noise: the reading is insufficient.

    Source: design section 5; the estimator of |μ|² is the U-statistic of Chen & Qin, "A two-sample test for
    high-dimensional data", Annals of Statistics 38 (2010).
    """
    squares = {"baseline": squared_mean(baseline), "current window": squared_mean(current)}
    for sample, square in squares.items():
        if square <= 0:
            return Reading(None, f"the {sample}'s mean direction is lost in its noise")
    value = 1.0 - mean_product(baseline, current) / math.sqrt(math.prod(squares.values()))
    return Reading(value, f"cosine distance of the mean directions is {value:.4f}")


def mmd(baseline: Sketch, current: Sketch) -> Reading:
    """Squared maximum mean discrepancy with the linear kernel: |μ₁|² + |μ₂|² - 2 μ₁·μ₂, each part unbiased.

    Meaning: the squared distance between the means, in squared units of the vectors; 0 when they are equal, a
    little below 0 by chance. Unlike the cosine it sees a change of length and it always has a value, but its
    scale depends on the feature: prefer :func:`cosine_drift` for a threshold that reads the same everywhere.

    Source: Gretton et al., "A kernel two-sample test", JMLR 13 (2012), the unbiased statistic of lemma 6.
    """
    value = squared_mean(baseline) + squared_mean(current) - 2.0 * mean_product(baseline, current)
    return Reading(value, f"squared distance of the means is {value:.6f}")


METRICS: Final[Mapping[str, Metric]] = {"cosine_drift": cosine_drift, "mmd": mmd}
"""Every metric by the name a trigger's ``schedule_config.metric`` gives it."""


def find_metric(name: str) -> Metric:
    """The metric called ``name``. Raises ``ValueError`` that lists the known ones."""
    metric = METRICS.get(name)
    if metric is None:
        raise ValueError(f"unknown metric {name!r}; known metrics: {', '.join(sorted(METRICS))}")
    return metric


def measure(metric: str, baseline: Sketch, current: Sketch, *, min_sample: int) -> Measurement:
    """Compare ``current`` with ``baseline``. Samples of fewer than ``min_sample`` vectors (never fewer than two)
    are insufficient. Raises ``ValueError`` for an unknown metric."""
    compare = find_metric(metric)
    needed = max(min_sample, 2)
    reading = _obstacle(baseline, current, needed) or compare(baseline, current)
    return Measurement(
        metric=metric,
        value=reading.value,
        baseline_count=baseline.count,
        current_count=current.count,
        insufficient=reading.value is None,
        reason=reading.reason,
    )


def _obstacle(baseline: Sketch, current: Sketch, needed: int) -> Reading | None:
    """Why the two cannot be compared by any metric."""
    for name, sketch in (("baseline", baseline), ("current window", current)):
        if sketch.count < needed:
            return Reading(None, f"the {name} has {sketch.count} documents, fewer than the {needed} needed")
    if baseline.dimensions != current.dimensions:
        return Reading(
            None,
            f"the baseline has {baseline.dimensions} dimensions and the current window {current.dimensions}:"
            " the feature has changed",
        )
    return None
