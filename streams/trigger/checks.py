"""One check after the other: measure the window, decide, and stop at a fire. Pure; buckets are given in order."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.times import format_instant
from streams.engines.drift.metrics import Measurement, measure
from streams.engines.drift.sketch import Sketch
from streams.engines.rules import drift, volume
from streams.engines.rules.condition import CheckState, Condition
from streams.engines.rules.decision import Decision
from streams.trigger.windows import Bucket, GrowingWindow, SlidingWindow, Window


@dataclass(frozen=True, slots=True)
class Baseline:
    """What later windows are compared with: the sketch and, for people, where it came from."""

    sketch: Sketch | None
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
    """The window, if the check took it as the baseline or fired; a fire's becomes the trigger's baseline when
    its job succeeds."""


class Checker:
    """Makes the checks of one trigger over buckets in time order."""

    def __init__(self, condition: Condition, state: CheckState, baseline: Sketch | None) -> None:
        self._condition = condition
        self._state = state
        self._baseline = baseline
        self._window: SlidingWindow | GrowingWindow = (
            GrowingWindow(state.baseline_at)
            if condition.window_seconds is None
            else SlidingWindow(condition.window_seconds)
        )

    def add(self, bucket: Bucket) -> None:
        """The next bucket; it ends at or before the next check."""
        self._window.add(bucket)

    def idle(self, made: Check) -> bool:
        """Whether the checks after ``made`` would decide as it did for as long as no bucket comes: it took no
        baseline, did not exceed the threshold, and its window cannot change, because it holds nothing or only
        grows."""
        value = made.measurement["value"]
        if made.baseline is not None or (value is not None and value > self._condition.threshold):
            return False
        return self._window.grows or made.measurement["current_count"] == 0

    def check(self, at: datetime) -> Check:
        """The check at nominal time ``at``. Raises ``ValueError`` for an unknown metric and when sketches of
        different dimensions meet."""
        window = self._window.at(at)
        if self._condition.condition_type == "volume":
            return self._volume(window, at)
        sketch = window.sketch
        count = 0 if sketch is None else sketch.count
        if self._baseline is None:
            return self._first(window, count, at)
        current = Sketch.empty(self._baseline.dimensions) if sketch is None else sketch
        measured = measure(self._condition.metric, self._baseline, current, min_sample=self._condition.min_sample)
        return self._made(drift.decide(self._condition, self._state, measured, at), measured, window, at)

    def _first(self, window: Window, count: int, at: datetime) -> Check:
        decision = drift.take_baseline(self._condition, self._state, count, at)
        measured = Measurement(self._condition.metric, None, 0, count, True, decision.reason)
        made = self._made(decision, measured, window, at)
        if made.baseline is not None:
            self._baseline = window.sketch
            if isinstance(self._window, GrowingWindow):
                self._window.restart(at)
        return made

    def _volume(self, window: Window, at: datetime) -> Check:
        decision = volume.decide(self._condition, self._state, window.documents, at)
        measured = Measurement("volume", float(window.documents), 0, window.documents, False, decision.reason)
        return self._made(decision, measured, window, at)

    def _made(self, decision: Decision[CheckState], measured: Measurement, window: Window, at: datetime) -> Check:
        taken = decision.new_state.baseline_at != self._state.baseline_at
        self._state = decision.new_state
        measurement = {
            "metric": measured.metric,
            "value": measured.value,
            "threshold": self._condition.threshold,
            "baseline_count": measured.baseline_count,
            "current_count": measured.current_count,
            "at": format_instant(at),
            "reason": decision.reason,
            "insufficient": measured.insufficient,
        }
        baseline = self._freeze(window, at) if taken or decision.fire else None
        return Check(at, decision, measurement, baseline)

    def _freeze(self, window: Window, at: datetime) -> Baseline:
        snapshot: dict[str, Any] = {
            "at": format_instant(at),
            "since": None if window.since is None else format_instant(window.since),
            "documents": window.documents,
            "time_domain": self._condition.time_domain,
        }
        if self._condition.condition_type == "drift":
            snapshot["feature_uri"] = self._condition.feature_uri
        return Baseline(window.sketch, snapshot)
