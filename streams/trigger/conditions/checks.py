"""One check after the other: measure the window, decide, and stop at a fire. Pure; rows of sketches are given."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from schemas.times import format_instant
from streams.engines.drift.metrics import Measurement, measure
from streams.engines.drift.series import AnySketch
from streams.engines.rules import drift, volume
from streams.engines.rules.condition import CheckState, Condition
from streams.engines.rules.decision import Decision
from streams.engines.rules.rollup import Span, cover
from streams.trigger.conditions.baselines import CALIBRATED, calibrated, candidate, told
from streams.trigger.conditions.windows import Held, Rows, Window, window_start


@dataclass(frozen=True, slots=True)
class Baseline:
    """What later windows are compared with: the sketch and, for people, where it came from."""

    sketch: AnySketch | None
    """``None`` for volume, which compares with nothing and only needs to know since when it counts."""
    snapshot: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """One check that was made."""

    at: datetime
    decision: Decision[CheckState]
    measurement: dict[str, Any]
    """As stored: metric, value, threshold, baseline_count, current_count, at, reason, insufficient."""
    baseline: Baseline | None
    """What the check took as the baseline; of a check that fired its window, which becomes the trigger's baseline
    when its job succeeds."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a trigger remembers from one transaction to the next."""

    state: CheckState
    baseline: Baseline | None
    held: Held | None
    """A window that grows, as the last check left it."""
    first: datetime | None
    """Where its series begins."""


def reads(
    condition: Condition, memory: Memory, before: datetime | None, moments: Sequence[datetime]
) -> list[Span]:
    """The rows that checks at ``moments`` may look at, and those that tell whether anything came since the check
    at ``before``."""
    base, state = condition.bucket_seconds, memory.state
    spans: list[Span] = []
    reached = before
    for moment in moments:
        if reached is not None:
            spans += cover(reached, moment, base)
        if condition.window_seconds is not None:
            spans += cover(window_start(condition, state.baseline_at, moment), moment, base)
        reached = moment
    if condition.window_seconds is None:
        held = memory.held
        spans += cover(
            window_start(condition, state.baseline_at, moments[0]) if held is None else held.until,
            moments[0],
            base,
        )
    if condition.condition_type == "drift" and memory.baseline is None:
        for moment in moments:
            found = candidate(condition, memory.first, moment)
            spans += cover(found.since, found.until, base)
            # What is measured once it has been taken.
            spans += cover(window_start(condition, found.until, moment), moment, base)
            if found.buckets is not None:
                spans.append(found.buckets)
    return spans


class Checker:
    """Makes the checks of one trigger in order of time."""

    def __init__(self, condition: Condition, memory: Memory, rows: Rows) -> None:
        self._condition = condition
        self._memory = memory
        self._rows = rows

    @property
    def memory(self) -> Memory:
        """What is remembered after the last check."""
        return self._memory

    def came(self, since: datetime, until: datetime) -> bool:
        """Whether any document came between two nominal times."""
        return self._rows.documents(cover(since, until, self._condition.bucket_seconds)) > 0

    def idle(self, made: Check) -> bool:
        """Whether the checks after ``made`` would decide as it did for as long as no document comes: it took no
        baseline, did not exceed the threshold, and its window cannot change, because it holds nothing or only
        grows."""
        value, threshold = made.measurement["value"], made.measurement["threshold"]
        exceeds = value is not None and threshold is not None and value > threshold
        if made.baseline is not None or exceeds:
            return False
        return self._condition.window_seconds is None or made.measurement["current_count"] == 0

    def check(self, at: datetime) -> Check:
        """The check at nominal time ``at``. Raises ``ValueError`` for an unknown metric and when sketches do not
        fit together."""
        condition, memory = self._condition, self._memory
        if condition.condition_type == "volume":
            window = self._window(at)
            decision = volume.decide(condition, memory.state, window.documents, at)
            measured = Measurement("volume", float(window.documents), 0, window.documents, False, decision.reason)
            return self._made(decision, measured, at, self._fired(decision, window, at))
        if memory.baseline is None or memory.baseline.sketch is None:
            return self._first(at)
        baseline, window = memory.baseline.sketch, self._window(at)
        current = baseline.emptied() if window.sketch is None else window.sketch
        measured = measure(condition.metric, baseline, current, min_sample=condition.min_sample)
        decision = drift.decide(condition, memory.state, measured, at)
        return self._made(decision, measured, at, self._fired(decision, window, at))

    def _window(self, at: datetime) -> Window:
        condition, memory, rows = self._condition, self._memory, self._rows
        base, held = condition.bucket_seconds, memory.held
        since = window_start(condition, memory.state.baseline_at, at)
        if held is None or condition.window_seconds is not None:
            spans = cover(since, at, base)
            window = Window(since, rows.documents(spans), rows.merged(spans))
        else:
            spans = cover(held.until, at, base)
            window = held.window.plus(rows.documents(spans), rows.merged(spans))
        if condition.window_seconds is None:
            self._memory = replace(memory, held=Held(at, window))
        return window

    def _first(self, at: datetime) -> Check:
        condition, memory = self._condition, self._memory
        found = candidate(condition, memory.first, at)
        spans = cover(found.since, found.until, condition.bucket_seconds)
        window = Window(found.since, self._rows.documents(spans), self._rows.merged(spans))
        count = 0 if window.sketch is None else window.sketch.count
        calibration = None
        refusal = found.refusal
        if refusal is None and count >= condition.min_sample and condition.threshold is None:
            calibration = calibrated(condition, found, self._rows)
            refusal = calibration.reason if calibration.threshold is None else None
        threshold = None if calibration is None else calibration.threshold
        decision = drift.take_baseline(condition, memory.state, count, found.until, threshold, refusal)
        measured = Measurement(condition.metric, None, 0, count, True, decision.reason)
        taken = None
        if decision.new_state != memory.state:
            extra = {} if calibration is None else told(condition, calibration)
            taken = Baseline(window.sketch, {**self._snapshot(window, found.until), **extra})
            # The next window begins where the baseline ends.
            self._memory = replace(memory, baseline=taken, held=None)
        return self._made(decision, measured, at, taken)

    def _fired(self, decision: Decision[CheckState], window: Window, at: datetime) -> Baseline | None:
        """The window of a check that fires. It keeps the threshold: how much windows vary is the stream's."""
        if not decision.fire:
            return None
        held = {} if self._memory.baseline is None else self._memory.baseline.snapshot
        kept = {key: held[key] for key in CALIBRATED if key in held}
        return Baseline(window.sketch, {**self._snapshot(window, at), **kept})

    def _snapshot(self, window: Window, until: datetime) -> dict[str, Any]:
        condition = self._condition
        snapshot: dict[str, Any] = {
            "at": format_instant(until),
            "since": None if window.since is None else format_instant(window.since),
            "documents": window.documents,
            "time_domain": condition.time_domain,
        }
        if condition.condition_type == "drift":
            measured = condition.measured
            snapshot["feature_uri" if measured.kind == "embedding" else "field"] = measured.name
        return snapshot

    def _made(
        self, decision: Decision[CheckState], measured: Measurement, at: datetime, baseline: Baseline | None
    ) -> Check:
        self._memory = replace(self._memory, state=decision.new_state)
        measurement = {
            "metric": measured.metric,
            "value": measured.value,
            "threshold": self._condition.effective_threshold(decision.new_state),
            "baseline_count": measured.baseline_count,
            "current_count": measured.current_count,
            "at": format_instant(at),
            "reason": decision.reason,
            "insufficient": measured.insufficient,
        }
        return Check(at, decision, measurement, baseline)
