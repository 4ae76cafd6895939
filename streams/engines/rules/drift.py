"""Drift: whether the window has moved away from the baseline further than the threshold (design section 5). Pure.

What happens at a check, in this order:

1. no baseline yet, and what there is cannot be one (too few documents, its period has not ended, no threshold can
   be calibrated on it): nothing is taken, nothing fires, and the reason says why;
2. no baseline yet, and it can: it is taken; this check does not fire (contract 4.8);
3. the measurement is insufficient: never fires;
4. it does not exceed the threshold: no fire (equal is not more);
5. it exceeds it: fires, unless the cooldown, counted in the time domain of the checks, holds it back.
"""

from datetime import datetime

from streams.engines.drift.metrics import Measurement
from streams.engines.rules.condition import CheckState, Condition, exceeded, numbers
from streams.engines.rules.decision import Decision


def take_baseline(
    condition: Condition,
    state: CheckState,
    documents: int,
    until: datetime,
    threshold: float | None,
    refusal: str | None,
) -> Decision[CheckState]:
    """A check without a baseline, with ``documents`` in what may become it, which ends at ``until``.
    ``threshold`` is the calibrated one, ``refusal`` why it cannot be the baseline whatever is in it. It becomes
    the baseline exactly when ``new_state`` is another."""
    if refusal is not None:
        return Decision(False, f"no baseline yet: {refusal}", state)
    if documents < condition.min_sample:
        reason = f"no baseline yet: {documents:,} documents, {condition.min_sample:,} are needed"
        return Decision(False, reason, state)
    words = "" if threshold is None else f", threshold calibrated to {threshold:.4g}"
    reason = f"baseline taken: {documents:,} documents{words}"
    return Decision(False, reason, CheckState(until, state.last_fired_at, threshold))


def decide(
    condition: Condition, state: CheckState, measurement: Measurement, at: datetime
) -> Decision[CheckState]:
    """A check at nominal time ``at`` against the baseline."""
    if measurement.insufficient or measurement.value is None:
        return Decision(False, f"{measurement.metric} not measured: {measurement.reason}", state)
    limit = condition.effective_threshold(state)
    if limit is None:
        return Decision(False, f"{measurement.metric} not judged: no threshold is given or calibrated", state)
    value, threshold = numbers(measurement.value, limit)
    sizes = f"(baseline {measurement.baseline_count:,} documents, window {measurement.current_count:,})"
    if measurement.value <= limit:
        return Decision(False, f"{measurement.metric} {value} does not exceed {threshold} {sizes}", state)
    return exceeded(condition, state, at, f"{measurement.metric} {value} exceeds {threshold} {sizes}")
