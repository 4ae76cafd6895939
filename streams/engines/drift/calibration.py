"""The threshold of a drift trigger that does not give one: how far the baseline's own windows lie apart.

Sampling noise is only part of what moves a stream: news, weekdays and campaigns come and go without the stream
having changed. So a threshold is taken from the baseline itself. Blocks as long as the window of a check are cut
out of it, each is measured against the rest (as a later window will be against the baseline), and the threshold
is the upper prediction limit for one more such reading, at the false-alarm rate asked for.

Assumptions:

- On the scale of distances (the root of a divergence) the readings of blocks are about normal. A squared distance
  of two means is a sum of squares, whose root is close to normal (Fisher's approximation of chi-square).
  Corrected readings may be below 0; the scale then begins at the least of them (Tukey's started root).
- Blocks that do not overlap are about independent. Of those there are k; the limit is
  mean + t * sd * sqrt(1 + 1/k), t the quantile of Student's distribution with k - 1 degrees of freedom, so few
  blocks give a wide limit (Hahn & Meeker 1991, "Statistical intervals").
- Mean and sd are taken over blocks that overlap by three quarters, which does not add independent blocks but makes
  them depend less on where the cuts fall (overlapping batch means, Meketon & Schmeiser 1984). The k/(k - 1) that
  makes their variance unbiased is included.

The limit covers the variation that the baseline shows. A baseline that ends before the first weekend or the first
winter knows of none.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.engines.drift.metrics import find_metric, measure
from streams.engines.drift.series import AnySketch, kind_of
from streams.engines.drift.sketch import merge_all

DEFAULT_FALSE_ALARM_RATE: Final = 0.01
"""Share of checks that exceed the threshold although the stream only varies as the baseline did."""
FEWEST_BLOCKS: Final = 12
"""Windows that a baseline should hold, and does where its period is not given: with 6 the limit lies 3.6 standard
deviations above the mean, with 12 it is 2.8, with ever so many 2.3."""
MOST_BLOCKS: Final = 100
"""Windows that are looked at, at most: more would not move the limit."""
_LEAST: Final = 6
"""Blocks without which there is no limit; a baseline of fewer windows is cut into shorter blocks."""
_OVERLAP: Final = 4
"""Blocks that begin within the length of one."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold, or ``None`` when the baseline does not carry one; ``reason`` is in words."""

    threshold: float | None
    samples: int
    """Windows of the baseline it rests on, without overlap."""
    reason: str


def calibrate(
    buckets: Sequence[AnySketch],
    metric: str,
    *,
    window_buckets: int,
    min_sample: int,
    false_alarm_rate: float = DEFAULT_FALSE_ALARM_RATE,
) -> Calibration:
    """The threshold for checks of ``metric`` with windows of ``window_buckets`` buckets against the baseline that
    ``buckets`` add up to.

    ``buckets`` are the baseline's time buckets in time order, without gaps (an empty sketch for an empty bucket);
    empty ones at either end say nothing.
    A block with fewer than ``min_sample`` values is left out, as a check on it would be; where blocks are shorter
    than windows, fewer are needed in proportion. Raises ``ValueError`` for an unknown metric, one that does not
    apply to the buckets' kind, a window of no bucket, and a rate that is not between 0 and 0.5.
    """
    if not 0 < false_alarm_rate < 0.5:
        raise ValueError(f"a false alarm rate is between 0 and 0.5, not {false_alarm_rate}")
    if window_buckets < 1:
        raise ValueError(f"a window holds at least 1 bucket, not {window_buckets}")
    found = find_metric(metric, kind_of(buckets[0]) if buckets else None)
    # The stream may have begun after the baseline's period did.
    filled = [place for place, bucket in enumerate(buckets) if bucket.count]
    buckets = buckets[filled[0] : filled[-1] + 1] if filled else []
    length = max(1, min(window_buckets, len(buckets) // _LEAST))
    starts = _starts(len(buckets), length)
    needed = math.ceil(min_sample * length / window_buckets)
    readings = _readings(buckets, starts, length, metric, needed)
    blocks = len(buckets) / length * len(readings) / len(starts) if starts else 0.0
    if blocks < _LEAST:
        words = f"{int(blocks)} windows of the baseline can be measured, {_LEAST} are needed"
        return Calibration(None, int(blocks), f"no threshold: {words}")
    threshold = _limit(np.array(readings), found.squared, blocks, false_alarm_rate)
    if not math.isfinite(threshold):
        return Calibration(None, int(blocks), "no threshold: the values are too large to be calibrated")
    words = f"{int(blocks)} windows of the baseline, false-alarm rate {false_alarm_rate:g} per check"
    return Calibration(threshold, int(blocks), f"threshold {threshold:.4g} from {words}")


def _starts(buckets: int, length: int) -> list[int]:
    """Where blocks of ``length`` begin: evenly spread from the first to the last, a quarter of a block apart or,
    in a baseline of very many blocks, further."""
    if buckets < length:
        return []
    last = buckets - length
    count = min(math.ceil(last / length * _OVERLAP), MOST_BLOCKS * _OVERLAP)
    return sorted({round(last * place / max(count, 1)) for place in range(count + 1)})


def _readings(
    buckets: Sequence[AnySketch], starts: Sequence[int], length: int, metric: str, needed: int
) -> list[float]:
    """Each block against the rest of the baseline, where both can be measured."""
    later = dict(_running(buckets[::-1], {len(buckets) - start - length for start in starts}))
    found = []
    for start, before in _running(buckets, set(starts)):
        rest = merge_all(part for part in (before, later[len(buckets) - start - length]) if part is not None)
        block = merge_all(buckets[start : start + length])
        if rest is not None and block is not None:
            value = measure(metric, rest, block, min_sample=needed).value
            if value is not None:
                found.append(value)
    return found


def _running(buckets: Sequence[AnySketch], stops: set[int]) -> Iterator[tuple[int, AnySketch | None]]:
    """The merged first ``stop`` buckets for every stop, rising; ``None`` for none of them."""
    merged: AnySketch | None = None
    for place in range(len(buckets) + 1):
        if place in stops:
            yield place, merged
        if place < len(buckets):
            merged = buckets[place] if merged is None else merged.merge(buckets[place])


def _limit(readings: NDArray[np.float64], squared: bool, blocks: float, rate: float) -> float:
    # Only a process that calibrates pays for loading it.
    from scipy.special import stdtrit

    # Python's own numbers raise where numpy's become infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        squares = readings if squared else np.copysign(readings**2, readings)
        shift = max(0.0, -float(squares.min()))
        roots = np.sqrt(squares + shift)
        spread = roots.std() * math.sqrt(blocks / (blocks - 1))
        quantile = float(stdtrit(blocks - 1, 1 - rate))
        limit = float(np.square(roots.mean() + quantile * spread * math.sqrt(1 + 1 / blocks)) - shift)
    return limit if squared else math.copysign(math.sqrt(abs(limit)), limit)
