"""The threshold of a drift trigger that does not give one: how far the baseline's own windows lie apart.

Sampling noise is only part of what moves a stream: news, weekdays and campaigns come and go without the stream
having changed. So a threshold is taken from the baseline itself. It is cut into blocks as long as the window of a
check; each block is measured against all the others (as a later window will be against the baseline); and the
threshold is the upper prediction limit for one more such reading, at the false-alarm rate asked for.

Assumption: on the scale of distances (the root of a divergence) the readings of blocks are about normal. A
squared distance of two means is a sum of squares, whose root is close to normal (Fisher's approximation of
chi-square). With k blocks the limit is mean + t * sd * sqrt(1 + 1/k), t the quantile of Student's distribution
with k - 1 degrees of freedom, so that few blocks give a wide limit (a prediction limit as in Hahn & Meeker,
"Statistical intervals", 1991).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.engines.drift.metrics import find_metric, measure
from streams.engines.drift.series import AnySketch, kind_of
from streams.engines.drift.sketch import merge_all

DEFAULT_FALSE_ALARM_RATE: Final = 0.01
"""Share of checks that exceed the threshold although the stream only varies as the baseline did."""
FEWEST_BLOCKS: Final = 6
"""Blocks a calibration is made of at least; a baseline of fewer windows is cut into shorter blocks."""
MOST_BLOCKS: Final = 100
"""Blocks that are measured at most, evenly spread over a baseline of more: more would not move the limit."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold, or ``None`` when the baseline does not carry one; ``reason`` is in words."""

    threshold: float | None
    samples: int
    """Blocks of the baseline it rests on."""
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

    ``buckets`` are the baseline's time buckets in time order, without gaps (an empty sketch for an empty bucket).
    A block with fewer than ``min_sample`` values is left out, as a check on it would be. Raises ``ValueError`` for
    an unknown metric and a rate that is not between 0 and 0.5.
    """
    if not 0 < false_alarm_rate < 0.5:
        raise ValueError(f"a false alarm rate is between 0 and 0.5, not {false_alarm_rate}")
    found = find_metric(metric, kind_of(buckets[0]) if buckets else None)
    length = max(1, min(window_buckets, len(buckets) // FEWEST_BLOCKS))
    needed = math.ceil(min_sample * length / max(window_buckets, 1))
    readings = _readings(_blocks(buckets, length), metric, needed)
    if len(readings) < FEWEST_BLOCKS:
        words = f"the baseline has {len(readings)} blocks that can be measured, {FEWEST_BLOCKS} are needed"
        return Calibration(None, len(readings), f"no threshold: {words}")
    threshold = _limit(np.array(readings), found.squared, false_alarm_rate)
    words = f"{len(readings)} blocks of the baseline, false-alarm rate {false_alarm_rate:g} per check"
    return Calibration(threshold, len(readings), f"threshold {threshold:.4f} from {words}")


def _blocks(buckets: Sequence[AnySketch], length: int) -> list[AnySketch]:
    """Runs of ``length`` buckets, counted back from the end; the first ones may be left over."""
    ends = range(len(buckets), length - 1, -length)
    merged = [merge_all(buckets[end - length : end]) for end in reversed(ends)]
    return [block for block in merged if block is not None]


def _readings(blocks: Sequence[AnySketch], metric: str, needed: int) -> list[float]:
    """Blocks against all the others: every block, or :data:`MOST_BLOCKS` of them, evenly spread."""
    step = max(1, math.ceil(len(blocks) / MOST_BLOCKS))
    tails = [merge_all(blocks[place + 1 : place + step]) for place in range(0, len(blocks), step)]
    measured = [(block, tail) for block, tail in zip(blocks[::step], tails, strict=True)]
    after: list[AnySketch | None] = [None]
    for block, tail in reversed(measured):
        after.append(_merged(block, tail, after[-1]))
    found = []
    before: AnySketch | None = None
    for (block, tail), later in zip(measured, reversed(after[:-1]), strict=True):
        others = _merged(before, tail, later)
        value = None if others is None else measure(metric, others, block, min_sample=needed).value
        if value is not None:
            found.append(value)
        before = _merged(before, block, tail)
    return found


def _merged(*parts: AnySketch | None) -> AnySketch | None:
    return merge_all(part for part in parts if part is not None)


def _limit(readings: NDArray[np.float64], squared: bool, rate: float) -> float:
    # Only a process that calibrates pays for loading it.
    from scipy.special import stdtrit

    squares = readings if squared else np.copysign(readings**2, readings)
    shift = max(0.0, -float(squares.min()))
    roots = np.sqrt(squares + shift)
    count = len(roots)
    quantile = float(stdtrit(count - 1, 1 - rate))
    limit = float(roots.mean() + quantile * roots.std(ddof=1) * math.sqrt(1 + 1 / count)) ** 2 - shift
    return limit if squared else math.copysign(math.sqrt(abs(limit)), limit)
