"""Drift: whether the window has moved away from the baseline further than the threshold (design section 5). Pure.

What happens at a check, in this order:

1. no baseline yet, too few documents: nothing is taken, nothing fires;
2. no baseline yet, enough documents: the window becomes the baseline; this check does not fire (contract 4.8);
3. the measurement is insufficient: never fires;
4. it does not exceed the threshold: no fire (equal is not more);
5. it exceeds it: fires, unless the cooldown, counted in the time domain of the checks, holds it back.
"""

from datetime import datetime

from streams.engines.drift.metrics import Measurement
from streams.engines.rules.condition import CheckState, Condition, exceeded, numbers, window_words
from streams.engines.rules.decision import Decision


def take_baseline(condition: Condition, state: CheckState, documents: int, at: datetime) -> Decision[CheckState]:
    """A check without a baseline, with ``documents`` in its window. The window becomes the baseline exactly
    when ``new_state.baseline_at`` is ``at``."""
    if documents < condition.min_sample:
        words = window_words(condition, state.baseline_at)
        reason = f"no baseline yet: {documents:,} documents {words}, {condition.min_sample:,} are needed"
        return Decision(False, reason, state)
    reason = f"baseline taken: {documents:,} documents"
    return Decision(False, reason, CheckState(at, state.last_fired_at))


def decide(
    condition: Condition, state: CheckState, measurement: Measurement, at: datetime
) -> Decision[CheckState]:
    """A check at nominal time ``at`` against the baseline."""
    if measurement.insufficient or measurement.value is None:
        return Decision(False, f"{measurement.metric} not measured: {measurement.reason}", state)
    value, threshold = numbers(measurement.value, condition.threshold)
    sizes = f"(baseline {measurement.baseline_count:,} documents, window {measurement.current_count:,})"
    if measurement.value <= condition.threshold:
        return Decision(False, f"{measurement.metric} {value} does not exceed {threshold} {sizes}", state)
    return exceeded(condition, state, at, f"{measurement.metric} {value} exceeds {threshold} {sizes}")
