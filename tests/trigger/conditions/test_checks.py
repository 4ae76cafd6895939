"""Windows and checks against a plain reference: every check recomputed from all documents."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.times import to_seconds
from streams.engines.drift.buckets import bucket_start
from streams.engines.drift.calibration import FEWEST_BLOCKS, calibrate
from streams.engines.drift.metrics import measure
from streams.engines.drift.sketch import Sketch
from streams.engines.rules.condition import CheckState, Condition
from streams.engines.rules.rollup import Span, widths
from streams.trigger.conditions.checks import Baseline, Check, Checker, Memory, reads
from streams.trigger.conditions.windows import Held, Row, Rows, Window, window_start

START = datetime(2014, 10, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
DIMENSIONS = 4

Arrived = tuple[datetime, list[float]]
"""When a document came, and its vector."""


def condition(**changes: Any) -> Condition:
    config = {
        "condition_type": "drift",
        "threshold": 0.2,
        "check_interval_seconds": 2 * 3_600,
        "min_sample": 3,
        "time_domain": "event_time",
    }
    return Condition.parse(config | changes)


def sketch(vectors: Sequence[list[float]]) -> Sketch:
    return Sketch.empty(DIMENSIONS).add(np.array(vectors).reshape(len(vectors), DIMENSIONS))


def stored(wanted: Condition, documents: Sequence[Arrived], partitions: int = 2) -> list[Row]:
    """The rows collect would have written, documents dealt out to partitions in turn."""
    cells: dict[tuple[int, int, int], list[list[float]]] = {}
    for number, (moment, vector) in enumerate(documents):
        for width in widths(wanted.bucket_seconds):
            place = (width, to_seconds(bucket_start(moment, width)), number % partitions)
            cells.setdefault(place, []).append(vector)
    counts = wanted.condition_type == "volume"
    return [
        Row(width, start, len(found), b"" if counts else sketch(found).to_bytes())
        for (width, start, _), found in cells.items()
    ]


def only(rows: Sequence[Row], spans: Sequence[Span]) -> Rows:
    """What a query for ``spans`` gives: nothing that was not asked for."""
    return Rows(
        [
            row
            for row in rows
            if any(
                row.width == width and (start is None or start <= row.start) and row.start < end
                for width, start, end in spans
            )
        ]
    )


def run(
    wanted: Condition,
    documents: Sequence[Arrived],
    moments: Sequence[datetime],
    memory: Memory | None = None,
    cuts: Sequence[int] = (),
) -> list[Check]:
    """All checks, going on after fires, with what is remembered carried over each cut."""
    first = min((moment for moment, _ in documents), default=None)
    if memory is None:
        start = None if first is None else bucket_start(first, wanted.bucket_seconds)
        memory = Memory(CheckState(), None, None, start)
    rows, made = stored(wanted, documents), list[Check]()
    edges = [0, *sorted(cuts), len(moments)]
    for begin, end in pairwise(edges):
        part = moments[begin:end]
        if not part:
            continue
        checker = Checker(wanted, memory, only(rows, reads(wanted, memory, None, part)))
        made += [checker.check(moment) for moment in part]
        memory = checker.memory
    return made


KINDS = ([1.0, 0, 0, 0], [0, 1.0, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 0.8, 0.6])
vectors = st.lists(st.sampled_from(KINDS), max_size=5)


@settings(deadline=None)
@given(
    st.lists(vectors, min_size=2, max_size=24),
    st.sampled_from((None, 2, 6, 30)),
    st.lists(st.integers(0, 12), max_size=3),
)
def test_each_check_is_what_a_plain_recomputation_says(
    hours: list[list[list[float]]], window: int | None, cuts: list[int]
) -> None:
    definition = condition(window_seconds=None if window is None else window * 3_600)
    documents = [(START + HOUR * (number + 0.5), vector) for number, found in enumerate(hours) for vector in found]
    moments = [START + HOUR * hour for hour in range(2, len(hours) + 1, 2)]
    baseline: Sketch | None = None
    taken = 0
    made_all = run(definition, documents, moments, cuts=[cut for cut in cuts if cut <= len(moments)])
    assert len(made_all) == len(moments)
    for number, made in enumerate(made_all):
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
                assert isinstance(made.baseline.sketch, Sketch)
                assert made.baseline.sketch.to_bytes() == inside.to_bytes()
            continue
        expected = measure("cosine_drift", baseline, inside, min_sample=3)
        assert made.measurement["insufficient"] == expected.insufficient
        assert made.measurement["value"] == expected.value
        assert made.decision.fire == (expected.value is not None and expected.value > 0.2)


def after(documents: Sequence[list[float]], **held: Any) -> Memory:
    """A trigger with a baseline."""
    baseline = Baseline(sketch(documents), {"at": "2014-10-02T00:00:00.000Z"})
    return Memory(CheckState(baseline_at=START), baseline, held.get("held"), START)


def test_a_window_in_which_nothing_came_is_insufficient() -> None:
    (made,) = run(condition(), [], [START + 2 * HOUR], after([[1.0, 0, 0, 0]] * 5))
    assert (made.decision.fire, made.measurement["insufficient"], made.measurement["current_count"]) == (
        False,
        True,
        0,
    )
    assert made.decision.reason == (
        "cosine_drift not measured: the current window has 0 documents, fewer than the 3 needed"
    )


def test_a_window_that_grows_goes_on_from_what_is_held_and_reads_only_what_came_since() -> None:
    held = Held(START + 4 * HOUR, Window(START, 5, sketch([[1.0, 0, 0, 0]] * 5)))
    memory = after([[1.0, 0, 0, 0]] * 5, held=held)
    moments = [START + 6 * HOUR, START + 8 * HOUR]
    assert min(span.start or 0 for span in reads(condition(), memory, None, moments)) == to_seconds(held.until)
    documents = [(START + 5 * HOUR, [0, 1.0, 0, 0])] * 3
    first, second = run(condition(), documents, moments, memory)
    assert (first.measurement["current_count"], second.measurement["current_count"]) == (8, 8)


def test_volume_counts_documents_and_needs_no_vectors() -> None:
    counting = condition(condition_type="volume", threshold=10, window_seconds=2 * 3_600, cooldown_seconds=7_200)
    documents = [
        (START + HOUR * (hour - 0.5), [0.0] * DIMENSIONS)
        for hour, count in ((1, 4), (2, 6), (3, 8), (4, 9), (5, 9), (6, 9))
        for _ in range(count)
    ]
    made = run(counting, documents, [START + 2 * HOUR, START + 4 * HOUR, START + 6 * HOUR])
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


def test_a_window_begins_where_the_definition_says() -> None:
    since = {"baseline": {"from": "2014-10-01T22:00:00Z"}}
    assert window_start(condition(), None, START) is None
    assert window_start(condition(**since), None, START) == START - 2 * HOUR
    assert window_start(condition(), START - HOUR, START) == START - HOUR
    assert window_start(condition(window_seconds=7_200), START - HOUR, START) == START - 2 * HOUR
    assert window_start(condition(window_seconds=14_400, **since), None, START) == START - 2 * HOUR
    assert window_start(condition(window_seconds=14_400, **since), START, START) == START - 4 * HOUR


def every_hour(hours: range, *kinds: list[float]) -> list[Arrived]:
    return [(START + HOUR * (hour + 0.5), kind) for hour in hours for kind in kinds]


@pytest.mark.parametrize(
    "period",
    [
        {"baseline": {"until": "2014-10-02T10:00:00Z"}},
        {"baseline": {"from": "2014-10-01", "until": "2014-10-02T10:00:00Z"}},
        {"baseline": {"from": "2014-10-02"}, "baseline_seconds": 36_000},
        {"baseline_seconds": 36_000},
    ],
)
@pytest.mark.parametrize("window", [None, 2 * 3_600])
def test_a_baseline_of_a_period_is_that_period(period: dict[str, Any], window: int | None) -> None:
    definition = condition(window_seconds=window, **period)
    documents = every_hour(range(20), KINDS[0], KINDS[1])
    made = run(definition, documents, [START + HOUR * hour for hour in (8, 10, 12)])
    assert made[0].decision.reason == "no baseline yet: its period ends at 2014-10-02T10:00:00.000Z"
    assert made[1].decision.reason == "baseline taken: 20 documents"
    assert made[1].baseline is not None
    assert made[1].baseline.snapshot["at"] == "2014-10-02T10:00:00.000Z"
    assert (made[2].measurement["baseline_count"], made[2].measurement["current_count"]) == (20, 4)


def test_the_first_check_after_the_period_takes_it_and_the_window_begins_at_its_end() -> None:
    definition = condition(baseline={"until": "2014-10-02T09:00:00Z"})
    made = run(definition, every_hour(range(20), KINDS[0]), [START + HOUR * hour for hour in (10, 12)])
    assert made[0].decision.reason == "baseline taken: 9 documents"
    assert made[1].measurement["current_count"] == 3


def mixed(hours: range, *kinds: list[float]) -> list[Arrived]:
    """Twenty documents an hour, of these kinds by chance."""
    chance = random.Random(4)
    return [(START + HOUR * (hour + 0.5), chance.choice(kinds)) for hour in hours for _ in range(20)]


def test_a_threshold_left_out_is_calibrated_on_the_baselines_own_windows() -> None:
    definition = condition(
        threshold=None, window_seconds=2 * 3_600, baseline={"until": "2014-10-03"}, metric="mmd"
    )
    documents = mixed(range(26), *KINDS[:3])
    changed = mixed(range(26, 28), *KINDS[2:])
    taken, quiet, loud = run(definition, documents + changed, [START + HOUR * hour for hour in (24, 26, 28)])
    hours = [sketch([kind for _, kind in documents[hour * 20 :][:20]]) for hour in range(24)]
    expected = calibrate(hours, "mmd", window_buckets=2, min_sample=3, false_alarm_rate=0.01)
    assert expected.threshold is not None
    assert taken.baseline is not None
    assert {
        key: taken.baseline.snapshot[key] for key in ("threshold", "samples", "false_alarm_rate", "reason")
    } == {
        "threshold": expected.threshold,
        "samples": 12,
        "false_alarm_rate": 0.01,
        "reason": expected.reason,
    }
    assert quiet.measurement["threshold"] == loud.measurement["threshold"] == expected.threshold
    assert (quiet.decision.fire, loud.decision.fire) == (False, True)
    # The window becomes the baseline of the next: how much windows vary is still that of the stream.
    assert loud.baseline is not None
    assert loud.baseline.snapshot["threshold"] == expected.threshold
    assert loud.baseline.snapshot["documents"] == 40


def test_without_a_period_the_baseline_is_as_long_as_a_calibration_needs() -> None:
    definition = condition(threshold=None, window_seconds=2 * 3_600, metric="mmd")
    needed = 2 * FEWEST_BLOCKS
    documents = mixed(range(needed + 2), *KINDS[:3])
    made = run(definition, documents, [START + HOUR * hour for hour in (2, needed - 2, needed, needed + 2)])
    assert made[0].decision.reason == (
        f"no baseline yet: its threshold is calibrated on at least {FEWEST_BLOCKS} windows, {needed * 3_600} s,"
        " of which 7200 s have passed"
    )
    assert [check.baseline is None for check in made] == [True, True, False, True]
    assert made[2].decision.reason.startswith(f"baseline taken: {20 * needed} documents, threshold calibrated to")
    assert made[3].measurement["baseline_count"] == 20 * needed


def test_a_baseline_of_too_few_buckets_waits_and_says_so() -> None:
    definition = condition(threshold=None, window_seconds=2 * 3_600, baseline={"until": "2014-10-02T04:00:00Z"})
    documents = every_hour(range(9), KINDS[0], KINDS[1], KINDS[2])
    for made in run(definition, documents, [START + HOUR * hour for hour in (4, 6, 8)]):
        assert (made.decision.fire, made.baseline, made.measurement["insufficient"]) == (False, None, True)
        assert made.decision.reason.startswith("no baseline yet: no threshold:")
