"""Windows and checks against a plain reference: every check recomputed from all documents."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engines.drift.metrics import measure
from streams.engines.drift.sketch import Sketch
from streams.engines.rules.condition import CheckState, Condition
from streams.trigger.checks import Check, Checker
from streams.trigger.windows import Bucket, window_start

START = datetime(2014, 10, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
DIMENSIONS = 4


def condition(**changes: Any) -> Condition:
    config = {
        "condition_type": "drift",
        "threshold": 0.2,
        "check_interval_seconds": 2 * 3_600,
        "min_sample": 3,
        "time_domain": "event_time",
    }
    return Condition.parse(config | changes)


def run(
    condition: Condition,
    state: CheckState,
    baseline: Sketch | None,
    buckets: list[Bucket],
    moments: list[datetime],
) -> list[Check]:
    """All checks, going on after fires."""
    checker, made, waiting = Checker(condition, state, baseline), [], list(buckets)
    for moment in moments:
        while waiting and waiting[0].end <= moment:
            checker.add(waiting.pop(0))
        made.append(checker.check(moment))
    return made


def sketch(vectors: list[list[float]]) -> Sketch:
    return Sketch.empty(DIMENSIONS).add(np.array(vectors).reshape(len(vectors), DIMENSIONS))


vectors = st.lists(
    st.sampled_from(([1.0, 0, 0, 0], [0, 1.0, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 0.8, 0.6])), max_size=5
)


@settings(deadline=None)
@given(st.lists(vectors, min_size=2, max_size=24), st.sampled_from((None, 2, 6)))
def test_each_check_is_what_a_plain_recomputation_says(hours: list[list[list[float]]], window: int | None) -> None:
    definition = condition(window_seconds=None if window is None else window * 3_600)
    buckets = [
        Bucket(START + HOUR * (number + 1), len(found), sketch(found))
        for number, found in enumerate(hours)
        if found
    ]
    moments = [START + HOUR * hour for hour in range(2, len(hours) + 1, 2)]
    baseline: Sketch | None = None
    taken = 0
    for number, made in enumerate(run(definition, CheckState(), None, buckets, moments)):
        hour = 2 * (number + 1)
        first = taken if window is None else max(0, hour - window)
        inside = sketch([vector for found in hours[first:hour] for vector in found])
        assert made.at == moments[number]
        assert made.measurement["current_count"] == inside.count
        if baseline is None:
            assert not made.decision.fire
            assert (made.baseline is not None) == (inside.count >= 3)
            if made.baseline is not None:
                baseline, taken = inside, hour
                assert made.baseline.sketch is not None
                assert np.allclose(made.baseline.sketch.total, inside.total)
            continue
        expected = measure("cosine_drift", baseline, inside, min_sample=3)
        assert made.measurement["insufficient"] == expected.insufficient
        assert made.measurement["value"] == pytest.approx(expected.value)
        if expected.value is None:
            assert not made.decision.fire
        elif abs(expected.value - 0.2) > 1e-9:
            assert made.decision.fire == (expected.value > 0.2)


def test_a_window_in_which_nothing_came_is_insufficient() -> None:
    held = CheckState(baseline_at=START)
    (made,) = run(condition(), held, sketch([[1.0, 0, 0, 0]] * 5), [], [START + 2 * HOUR])
    assert (made.decision.fire, made.measurement["insufficient"], made.measurement["current_count"]) == (
        False,
        True,
        0,
    )
    assert made.decision.reason == (
        "cosine_drift not measured: the current window has 0 documents, fewer than the 3 needed"
    )


def test_volume_counts_documents_and_needs_no_vectors() -> None:
    counting = condition(condition_type="volume", threshold=10, window_seconds=2 * 3_600, cooldown_seconds=7_200)
    buckets = [
        Bucket(START + HOUR * number, count, None)
        for number, count in ((1, 4), (2, 6), (3, 8), (4, 9), (5, 9), (6, 9))
    ]
    made = run(counting, CheckState(), None, buckets, [START + 2 * HOUR, START + 4 * HOUR, START + 6 * HOUR])
    assert [(check.measurement["value"], check.decision.fire) for check in made] == [
        (10, False),
        (17, True),
        (18, True),
    ]
    assert made[1].decision.reason == "volume 17 exceeds 10 (documents in 7200 s)"
    assert made[1].baseline is not None
    assert made[1].baseline.snapshot == {
        "at": "2014-10-02T04:00:00.000Z",
        "since": "2014-10-02T02:00:00.000Z",
        "documents": 17,
        "time_domain": "event_time",
    }


def test_an_unknown_metric_is_said_in_words() -> None:
    with pytest.raises(ValueError, match="unknown metric 'vibes'; known metrics: cosine_drift"):
        run(condition(metric="vibes"), CheckState(START), sketch([[1.0, 0, 0, 0]] * 5), [], [START + 2 * HOUR])


def test_a_window_begins_where_the_definition_says() -> None:
    assert window_start(condition(), None, START) is None
    assert window_start(condition(), START - HOUR, START) == START - HOUR
    assert window_start(condition(window_seconds=7_200), START - HOUR, START) == START - 2 * HOUR
