"""What becomes the baseline of a drift trigger, and the threshold that is calibrated on it. Pure.

=====================================  ==================================================================
schedule_config                        the baseline
=====================================  ==================================================================
`threshold`, no period                 the first window with `min_sample` documents
no `threshold`, no period              everything up to the first check by which the series is as long as
                                       the fewest windows that a calibration needs
`baseline: {until}`, `{from, until}`   that period, at the first check at or after its end
`baseline_seconds`                     that long, from `baseline.from` or the first document
`baseline: {from}`                     as without a period, but nothing before it is looked at
=====================================  ==================================================================
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas.times import format_instant, to_seconds
from streams.engines.drift.buckets import bucket_width
from streams.engines.drift.calibration import FEWEST_BLOCKS, MOST_BLOCKS, Calibration, calibrate
from streams.engines.rules.condition import Condition
from streams.engines.rules.rollup import Span
from streams.trigger.conditions.windows import Rows, window_start

CALIBRATED: Final[tuple[str, ...]] = ("threshold", "samples", "false_alarm_rate", "reason")
"""Keys of a baseline snapshot that say where a calibrated threshold is from."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """The time a check would take as the baseline."""

    since: datetime | None
    until: datetime
    refusal: str | None
    """Why it cannot be one yet, whatever came."""
    buckets: Span | None
    """Its time buckets that a threshold is calibrated on."""


def candidate(condition: Condition, first: datetime | None, at: datetime) -> Candidate:
    """What a check at ``at`` would take; ``first`` is where the series begins."""
    period = condition.baseline
    if period.bounded:
        end = period.end(first)
        if end is None or at < end:
            words = "with the first document" if end is None else f"at {format_instant(end)}"
            until = at if end is None else end
            return Candidate(until, until, f"its period {'begins' if end is None else 'ends'} {words}", None)
        since = period.since if period.since is not None or period.until is not None else first
        return Candidate(since, end, None, _buckets(condition, since or first, end))
    if condition.threshold is not None:
        return Candidate(window_start(condition, None, at), at, None, None)
    since = period.since
    begin = since if first is None or (since is not None and since > first) else first
    needed = FEWEST_BLOCKS * _window_seconds(condition)
    length = 0 if begin is None else (at - begin).total_seconds()
    if length < needed:
        words = f"at least {FEWEST_BLOCKS} windows, {needed} s, of which {max(0, length):.0f} s have passed"
        return Candidate(since, at, f"its threshold is calibrated on {words}", None)
    return Candidate(since, at, None, _buckets(condition, begin, at))


def calibrated(condition: Condition, found: Candidate, rows: Rows) -> Calibration:
    """The threshold of a baseline. Raises ``ValueError`` for an unknown metric."""
    assert found.buckets is not None
    return calibrate(
        rows.each(found.buckets),
        condition.metric,
        window_buckets=_window_seconds(condition) // found.buckets.width,
        min_sample=condition.min_sample,
        false_alarm_rate=condition.false_alarm_rate,
    )


def told(condition: Condition, calibration: Calibration) -> dict[str, Any]:
    """A calibration as a snapshot keeps it."""
    return {
        "threshold": calibration.threshold,
        "samples": calibration.samples,
        "false_alarm_rate": condition.false_alarm_rate,
        "reason": calibration.reason,
    }


def _window_seconds(condition: Condition) -> int:
    """How long a window is; one that grows is at least as long as the time between two checks."""
    return condition.window_seconds or condition.check_interval_seconds


def _buckets(condition: Condition, since: datetime | None, until: datetime) -> Span | None:
    if condition.threshold is not None or since is None:
        return None
    window = _window_seconds(condition)
    width = bucket_width(window)
    end = to_seconds(until) // width * width
    # The last of very many windows: more would not move the threshold.
    start = max(-(-to_seconds(since) // width) * width, end - MOST_BLOCKS * window)
    return Span(width, start, end) if start < end else None
