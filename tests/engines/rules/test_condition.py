from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streams.engines.drift.metrics import Measurement
from streams.engines.rules import drift, volume
from streams.engines.rules.condition import CheckState, Condition, numbers
from streams.engines.rules.errors import ScheduleError

AT = datetime(2014, 10, 2, tzinfo=UTC)
WEEK = timedelta(days=7)


def condition(**changes: Any) -> Condition:
    return Condition.parse({"condition_type": "drift", "threshold": 0.35, **changes})


def measured(value: float | None, reason: str = "the current window has 7 documents") -> Measurement:
    return Measurement("cosine_drift", value, 4_210, 930, value is None, reason)


def test_what_is_left_out_has_the_contract_s_defaults() -> None:
    assert condition() == Condition(
        condition_type="drift",
        threshold=0.35,
        metric="cosine_drift",
        feature_uri="mixpeek://hashing@v1/words",
        time_domain="processing_time",
        check_interval_seconds=3_600,
        window_seconds=None,
        min_sample=100,
        cooldown_seconds=0,
    )
    assert condition(window_seconds=None, min_sample=None, metric=None) == condition()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": None}, "threshold is required"),
        ({"threshold": float("nan")}, "finite"),
        ({"threshold": True}, "threshold"),
        ({"threshold": "0.3"}, "threshold"),
        ({"condition_type": None}, "condition_type must be one of drift, volume, not None"),
        ({"condition_type": ["drift"]}, "condition_type"),
        ({"time_domain": "wall"}, "time_domain must be one of processing_time, event_time"),
        ({"check_interval_seconds": 0}, "check_interval_seconds must be a whole number from 1"),
        ({"check_interval_seconds": 0.5}, "check_interval_seconds"),
        ({"window_seconds": -1}, "window_seconds"),
        ({"cooldown_seconds": -1}, "cooldown_seconds must be a whole number from 0"),
        ({"min_sample": 10**12}, "min_sample"),
        ({"feature_uri": ""}, "feature_uri must be a non-empty string"),
        ({"metric": 3}, "metric"),
    ],
)
def test_a_bad_field_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        condition(**changes)


@pytest.mark.parametrize(
    ("value", "fire", "reason"),
    [
        (0.57, True, "cosine_drift 0.57 exceeds 0.35 (baseline 4,210 documents, window 930)"),
        (0.35, False, "cosine_drift 0.35 does not exceed 0.35 (baseline 4,210 documents, window 930)"),
        (0.3502, True, "cosine_drift 0.3502 exceeds 0.3500 (baseline 4,210 documents, window 930)"),
        (-0.02, False, "cosine_drift -0.02 does not exceed 0.35 (baseline 4,210 documents, window 930)"),
        (None, False, "cosine_drift not measured: the current window has 7 documents"),
    ],
)
def test_drift(value: float | None, fire: bool, reason: str) -> None:
    state = CheckState(AT - WEEK)
    decision = drift.decide(condition(), state, measured(value), AT)
    assert (decision.fire, decision.reason) == (fire, reason)
    # The baseline is not replaced by the decision, only by the success of the job.
    assert decision.new_state == (CheckState(AT - WEEK, AT) if fire else state)


def test_drift_in_cooldown_is_measured_but_does_not_fire() -> None:
    state = CheckState(AT - 3 * WEEK, AT - WEEK)
    held = drift.decide(condition(cooldown_seconds=14 * 86_400), state, measured(0.57), AT)
    assert not held.fire
    assert held.new_state == state
    assert held.reason == (
        "cosine_drift 0.57 exceeds 0.35 (baseline 4,210 documents, window 930),"
        " but in cooldown until 2014-10-09T00:00:00.000Z (fired at 2014-09-25T00:00:00.000Z)"
    )
    assert drift.decide(condition(cooldown_seconds=7 * 86_400), state, measured(0.57), AT).fire


def test_the_first_check_with_enough_documents_takes_the_baseline() -> None:
    few = drift.take_baseline(condition(), CheckState(), 99, AT)
    assert (few.fire, few.new_state) == (False, CheckState())
    assert few.reason == "no baseline yet: 99 documents since the beginning, 100 are needed"
    enough = drift.take_baseline(condition(), CheckState(), 4_210, AT)
    assert (enough.fire, enough.new_state) == (False, CheckState(AT))
    assert enough.reason == "baseline taken: 4,210 documents"


def test_volume() -> None:
    counting = condition(condition_type="volume", threshold=1_000, cooldown_seconds=60)
    quiet = volume.decide(counting, CheckState(), 1_000, AT)
    assert (quiet.fire, quiet.new_state) == (False, CheckState())
    assert quiet.reason == "volume 1,000 does not exceed 1,000 (documents since the beginning)"
    loud = volume.decide(counting, CheckState(AT - WEEK), 1_204, AT)
    assert (loud.fire, loud.new_state) == (True, CheckState(AT - WEEK, AT))
    assert loud.reason == "volume 1,204 exceeds 1,000 (documents since 2014-09-25T00:00:00.000Z)"
    again = volume.decide(counting, loud.new_state, 1_300, AT + timedelta(seconds=59))
    assert not again.fire
    windowed = condition(condition_type="volume", threshold=10, window_seconds=3_600)
    assert volume.decide(windowed, CheckState(), 11, AT).reason == "volume 11 exceeds 10 (documents in 3600 s)"


@pytest.mark.parametrize(
    ("value", "threshold", "expected"),
    [
        (0.57, 0.35, ("0.57", "0.35")),
        (12_345.0, 1_000.0, ("12,345", "1,000")),
        (0.350001, 0.35, ("0.350001", "0.350000")),
        (0.1 + 0.2, 0.3, ("0.30000000000000004", "0.3")),
        (2.0, 1.999, ("2.0000", "1.9990")),
        (0.0, 0.35, ("0.00", "0.35")),
    ],
)
def test_numbers_that_differ_read_differently(value: float, threshold: float, expected: tuple[str, str]) -> None:
    assert numbers(value, threshold) == expected
