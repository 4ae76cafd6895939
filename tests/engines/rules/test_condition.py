from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streams.engines.drift.metrics import Measurement
from streams.engines.rules import drift, volume
from streams.engines.rules.condition import BaselinePeriod, CheckState, Condition, numbers
from streams.engines.rules.errors import ScheduleError
from streams.engines.rules.measured import Measured

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
        measured=Measured("embedding", "mixpeek://hashing@v1/words"),
        time_domain="processing_time",
        check_interval_seconds=3_600,
        window_seconds=None,
        min_sample=100,
        cooldown_seconds=0,
        false_alarm_rate=0.01,
        baseline=BaselinePeriod(),
        allowed_lateness_seconds=0.0,
    )
    assert condition(window_seconds=None, min_sample=None, metric=None) == condition()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": None, "condition_type": "volume"}, "threshold is required"),
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
        ({"metric": "vibes"}, "unknown metric 'vibes'; known metrics: cosine_drift"),
        ({"feature_uri": "number:price"}, "is no feature; name a payload field"),
        ({"field": "price"}, "field_type is required where metric does not say it: number or category"),
        ({"field": "price", "metric": "vibes"}, "unknown metric 'vibes'"),
        ({"field": "price", "metric": "psi"}, "metric 'psi' compares numbers and categories: say which"),
        ({"field": "price", "metric": "ks", "field_type": "category"}, "metric ks does not apply to categories"),
        ({"field": "price", "field_type": "text"}, "field_type must be one of number, category"),
        ({"field": "price", "field_type": "number", "feature_uri": "uri"}, "either feature_uri or field"),
        ({"field": "a." * 32 + "b", "field_type": "number"}, "field: a path has at most"),
        ({"field_type": "number"}, "field_type is about a payload field"),
        ({"false_alarm_rate": 0.5}, "false_alarm_rate must be a number between 0 and 0.5"),
        ({"allowed_lateness_seconds": -1}, "allowed_lateness_seconds must be a number from 0"),
        ({"baseline": {"since": "2018-01-01"}}, "baseline says `from` and `until`"),
        ({"baseline": {"from": "soon"}}, "baseline.from must be an instant in ISO 8601, not 'soon'"),
        ({"baseline": {"until": "2018-01-01T00:00:00.5Z"}}, "baseline.until must be a whole second"),
        ({"baseline": {"from": "2018-01-02", "until": "2018-01-02"}}, "baseline.from must be before"),
        ({"baseline": {"until": "2018-01-02"}, "baseline_seconds": 60}, "not both"),
        ({"baseline_seconds": 0}, "baseline_seconds must be a whole number from 1"),
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


@pytest.mark.parametrize(
    ("changes", "measured", "metric"),
    [
        ({"field": "topic", "metric": "cosine_drift"}, Measured("category", "topic"), "cosine_drift"),
        ({"field": "price", "metric": "wasserstein"}, Measured("number", "price"), "wasserstein"),
        ({"field": "price", "field_type": "number"}, Measured("number", "price"), "ks"),
        ({"field": "a.topic", "field_type": "category"}, Measured("category", "a.topic"), "js"),
        ({"field": "topic", "field_type": "category", "metric": "psi"}, Measured("category", "topic"), "psi"),
        ({"feature_uri": "uri", "metric": "mmd"}, Measured("embedding", "uri"), "mmd"),
        ({"condition_type": "volume", "feature_uri": "uri"}, Measured("document", ""), "volume"),
    ],
)
def test_what_is_measured(changes: dict[str, Any], measured: Measured, metric: str) -> None:
    found = condition(**changes)
    assert (found.measured, found.metric) == (measured, metric)
    assert Measured.of_key(measured.key) == measured


@pytest.mark.parametrize(
    ("changes", "width"),
    [
        ({"check_interval_seconds": 86_400}, 86_400),
        ({"check_interval_seconds": 86_400, "baseline": {"until": "2018-01-02"}}, 86_400),
        ({"check_interval_seconds": 86_400, "baseline": {"from": "2018-01-01T07:00:00Z"}}, 3_600),
        ({"check_interval_seconds": 86_400, "baseline_seconds": 90}, 1),
    ],
)
def test_buckets_end_where_windows_and_the_baseline_do(changes: dict[str, Any], width: int) -> None:
    assert condition(**changes).bucket_seconds == width


def test_a_period_ends_as_it_says() -> None:
    assert BaselinePeriod().end(AT) is None
    assert BaselinePeriod(until=AT).end(None) == AT
    assert BaselinePeriod(seconds=604_800).end(AT) == AT + WEEK
    assert BaselinePeriod(since=AT, seconds=604_800).end(AT - WEEK) == AT + WEEK
    assert BaselinePeriod(seconds=604_800).end(None) is None


def test_the_first_check_with_enough_documents_takes_the_baseline() -> None:
    few = drift.take_baseline(condition(), CheckState(), 99, AT, None, None)
    assert (few.fire, few.new_state) == (False, CheckState())
    assert few.reason == "no baseline yet: 99 documents, 100 are needed"
    refused = drift.take_baseline(condition(), CheckState(), 4_210, AT, None, "its period has not ended")
    assert (refused.fire, refused.new_state) == (False, CheckState())
    assert refused.reason == "no baseline yet: its period has not ended"
    enough = drift.take_baseline(condition(), CheckState(), 4_210, AT, None, None)
    assert (enough.fire, enough.new_state) == (False, CheckState(AT))
    assert enough.reason == "baseline taken: 4,210 documents"


def test_a_calibrated_threshold_decides_where_none_is_given() -> None:
    open_ended = condition(threshold=None)
    taken = drift.take_baseline(open_ended, CheckState(), 4_210, AT, 0.4, None)
    assert taken.new_state == CheckState(AT, None, 0.4)
    assert taken.reason == "baseline taken: 4,210 documents, threshold calibrated to 0.4"
    fired = drift.decide(open_ended, taken.new_state, measured(0.57), AT + WEEK)
    assert (fired.fire, fired.new_state) == (True, CheckState(AT, AT + WEEK, 0.4))
    assert not drift.decide(open_ended, taken.new_state, measured(0.4), AT + WEEK).fire
    assert not drift.decide(open_ended, CheckState(AT), measured(0.57), AT + WEEK).fire
    assert not drift.decide(condition(threshold=0.6), taken.new_state, measured(0.57), AT + WEEK).fire


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
        (0.00078, 0.009478, ("0.0008", "0.0095")),
        (0.00078, 1e-9, ("0.000780", "0.000000")),
    ],
)
def test_numbers_that_differ_read_differently(value: float, threshold: float, expected: tuple[str, str]) -> None:
    assert numbers(value, threshold) == expected
