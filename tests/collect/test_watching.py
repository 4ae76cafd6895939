"""From trigger definitions to sketches and event triggers, and from changes to commands."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events.definition import DefinitionRecord, Kind
from schemas.events.document import DocumentEvent
from schemas.headers import DefinitionsVersion
from schemas.ids import derived_id
from streams.collect.arrivals import Arrival
from streams.collect.firing import counted, decide
from streams.collect.fold import Change, ChangeKind
from streams.collect.sketching import (
    Cell,
    Cells,
    Place,
    Places,
    SketchSpec,
    arrived,
    counted_cells,
    field_cells,
    fitting,
    vector_cells,
)
from streams.collect.watching import watch
from streams.engines.drift.buckets import bucket_start
from streams.engines.drift.category_sketch import CategorySketch
from streams.engines.drift.number_sketch import NumberSketch
from streams.engines.drift.sketch import Sketch
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.engines.rules.condition import Condition
from streams.engines.rules.errors import ScheduleError
from streams.engines.rules.events import EventState
from streams.engines.rules.measured import DOCUMENTS, Measured
from streams.engines.rules.rollup import WIDTHS, widths
from streams.trigger.conditions.series import Series

START = datetime(2024, 1, 1, tzinfo=UTC)


def definition(
    trigger_id: str, trigger_type: str, schedule: dict[str, Any], kind: Kind = "trigger", **body: Any
) -> DefinitionRecord:
    fields = {
        "trigger_type": trigger_type,
        "schedule_config": schedule,
        "watched_collection_ids": ["col_a", "col_b"],
        "action_type": "collection_trigger",
        "action_config": {"collection_id": "col_a"},
        **body,
    }
    return DefinitionRecord(kind, "ns", trigger_id, 1, DefinitionsVersion("epoch", 1), body=fields)


def change(kind: ChangeKind, document: str, collection: str = "col_a", causes: tuple[str, ...] = ()) -> Change:
    event = DocumentEvent("document.upserted", "ns", collection, document, START)
    return Change(kind, Arrival(0, 0, START + timedelta(minutes=1), event, causes=causes), START)


def test_conditional_triggers_share_the_sketches_they_agree_on() -> None:
    hourly = {"condition_type": "drift", "threshold": 0.3}
    daily = hourly | {"check_interval_seconds": 86_400}
    watched = watch(
        [
            definition("trig_1", "conditional", hourly),
            definition("trig_2", "conditional", hourly | {"check_interval_seconds": 7_200}),
            definition("trig_3", "conditional", daily | {"time_domain": "event_time", "window_seconds": 3_600}),
            definition("trig_4", "conditional", daily | {"feature_uri": "uri"}, kind="cluster_trigger"),
            definition("trig_5", "cron", {"cron_expression": "* * * * *"}),
            definition("trig_6", "interval", {"interval_seconds": 60}, watched_collection_ids=None),
        ]
    )
    words = HashingEmbedder.URI
    # Each at its narrowest width and rolled up to days and 30 days.
    assert watched.specs["ns", "col_b"] == (
        SketchSpec("ns", "col_b", words, "processing_time", 3_600),
        SketchSpec("ns", "col_b", words, "processing_time", 86_400),
        SketchSpec("ns", "col_b", words, "processing_time", 2_592_000),
        SketchSpec("ns", "col_b", words, "event_time", 3_600),
        SketchSpec("ns", "col_b", words, "event_time", 86_400),
        SketchSpec("ns", "col_b", words, "event_time", 2_592_000),
        SketchSpec("ns", "col_b", "uri", "processing_time", 86_400),
        SketchSpec("ns", "col_b", "uri", "processing_time", 2_592_000),
    )
    assert watched.specs.keys() == {("ns", "col_a"), ("ns", "col_b")}
    assert watched.triggers == {}


def test_the_most_patient_trigger_of_a_collection_says_how_late_is_late() -> None:
    drift = {"condition_type": "drift", "threshold": 0.3, "time_domain": "event_time"}
    schedules = [drift, drift | {"allowed_lateness_seconds": 60}, drift | {"allowed_lateness_seconds": 7.5}]
    ignored = drift | {"allowed_lateness_seconds": 600, "time_domain": "processing_time"}
    watched = watch(
        [definition(f"trig_{n}", "conditional", schedule) for n, schedule in enumerate([*schedules, ignored])]
    )
    assert watched.lateness["ns", "col_a"] == timedelta(seconds=60)


def test_event_triggers_of_both_families() -> None:
    watched = watch(
        [
            definition("trig_1", "event", {"event_type": "documents_added"}),
            definition(
                "trig_2",
                "event",
                {"event_type": "documents_deleted", "event_threshold": 5, "cooldown_seconds": 300},
                kind="cluster_trigger",
                cluster_id=None,
                execution_config={"collection_ids": ["col_a"]},
                watched_collection_ids=["col_a"],
            ),
        ]
    )
    (one, two), (again,) = watched.triggers["ns", "col_a"], watched.triggers["ns", "col_b"]
    assert watched.triggers.keys() == {("ns", "col_a"), ("ns", "col_b")}
    assert again == one
    assert (one.trigger_id, one.family, one.event_type, one.threshold, one.cooldown_seconds) == (
        "trig_1",
        "trigger",
        "documents_added",
        1,
        0,
    )
    assert (two.trigger_id, two.family, two.event_type, two.threshold, two.cooldown_seconds) == (
        "trig_2",
        "cluster_trigger",
        "documents_deleted",
        5,
        300,
    )
    _, (order,) = decide(one, EventState(), [change("documents_added", "a").arrival], START)
    assert (order.action_type, order.action_config) == ("collection_trigger", {"collection_id": "col_a"})
    _, (order,) = decide(two, EventState(4), [change("documents_deleted", "a").arrival], START)
    assert (order.action_type, order.action_config) == (
        "cluster",
        {"execution_config": {"collection_ids": ["col_a"]}},
    )


@given(
    st.fixed_dictionaries(
        {"condition_type": st.sampled_from(["drift", "volume"]), "threshold": st.just(1)},
        optional={
            "feature_uri": st.none() | st.sampled_from(["uri", ""]),
            "time_domain": st.none() | st.sampled_from(["processing_time", "event_time", ""]),
            "check_interval_seconds": st.none() | st.sampled_from([0, 1, 60, 5_400, 86_400, 604_800]),
            "window_seconds": st.none() | st.sampled_from([0, 90, 3_600, 864_000]),
            "field": st.none() | st.sampled_from(["price", ""]),
            "field_type": st.none() | st.sampled_from(["number", "category"]),
            "metric": st.none() | st.sampled_from(["mmd", "ks", "vibes"]),
        },
    )
)
def test_the_sketches_made_are_those_a_check_reads(schedule: dict[str, Any]) -> None:
    watched = watch([definition("trig_1", "conditional", schedule, watched_collection_ids=["col_a"])])
    if watched.broken:
        with pytest.raises(ScheduleError, match=re.escape(watched.broken["trig_1"])):
            Condition.parse(schedule)
        assert not watched.specs
        return
    condition = Condition.parse(schedule)
    series = Series.of([("ns", "col_a")], condition)
    found = {(spec.feature, spec.time_domain, spec.width_seconds) for spec in watched.specs["ns", "col_a"]}
    assert found == {(series.feature, series.time_domain, width) for width in widths(series.width_seconds)}


def test_a_definition_that_cannot_work_is_named_and_holds_up_no_other() -> None:
    watched = watch(
        [
            definition("trig_1", "event", {"event_type": "documents_added"}, action_config=None),
            definition("trig_2", "conditional", {"condition_type": "volume"}),
            definition("trig_3", "event", {"event_type": "documents_added"}),
        ]
    )
    assert watched.broken.keys() == {"trig_1", "trig_2"}
    assert [trigger.trigger_id for trigger in watched.triggers["ns", "col_a"]] == ["trig_3"]
    assert not watched.specs


def test_a_trigger_counts_its_kind_of_event_in_its_collections_and_not_its_own_effects() -> None:
    watched = watch([definition("trig_1", "event", {"event_type": "documents_added"})])
    mine = [change("documents_added", "a"), change("documents_added", "b", "col_b", ("trig_2", "alt_1"))]
    others = [
        change("documents_updated", "c"),
        change("documents_added", "d", "col_c"),
        change("documents_added", "e", causes=("alt_1", "trig_1")),
    ]
    ((trigger, arrivals),) = counted(watched, [*mine, *others]).values()
    assert arrivals == [item.arrival for item in mine]
    assert counted(watched, others) == {}
    state, commands = decide(trigger, EventState(fire_sequence=6), arrivals, START + timedelta(hours=1))
    assert state == EventState(0, 8, START + timedelta(minutes=1))
    assert [command.job_id for command in commands] == [derived_id("job_", "trig_1", "fire", n) for n in (7, 8)]
    assert commands[1].caused_by == ("trig_2", "alt_1")
    assert commands[0].nominal_at == START + timedelta(minutes=1)
    assert commands[0].triggered_at == START + timedelta(hours=1)
    assert commands[0].reason == "documents_added: 1 event counted, threshold 1"


def test_vectors_go_to_the_bucket_of_their_instant_and_partition() -> None:
    occurred = SketchSpec("ns", "col_a", "uri", "event_time", 60)
    appended = SketchSpec("ns", "col_a", "uri", "processing_time", 3_600)
    minute = timedelta(minutes=1)
    places = Places(
        [
            Place(0, START, START + 9 * minute),
            Place(1, START, START + 61 * minute),
            Place(0, START + 0.5 * minute, START),
            Place(0, START + minute, START),
        ]
    )
    found = vector_cells([occurred, appended], places, np.diag([1.0, 2.0, 4.0, 8.0]))
    assert totals(found) == {
        Cell(occurred, 0, START): [1, 0, 4, 0],
        Cell(occurred, 1, START): [0, 2, 0, 0],
        Cell(occurred, 0, START + minute): [0, 0, 0, 8],
        Cell(appended, 0, START): [1, 0, 4, 8],
        Cell(appended, 1, START + 60 * minute): [0, 2, 0, 0],
    }


def totals(cells: Cells) -> dict[Cell, list[float]]:
    return {
        cell: filled.sketch.total.tolist() for cell, filled in cells.items() if isinstance(filled.sketch, Sketch)
    }


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(-(10**7), 10**7), st.integers(-9, 9)), max_size=20),
    st.sets(st.sampled_from(WIDTHS), min_size=1),
)
def test_wider_buckets_hold_what_the_narrower_ones_do(rows: list[tuple[int, int, int]], kept: set[int]) -> None:
    specs = [SketchSpec("ns", "col_a", "uri", "event_time", width) for width in sorted(kept, reverse=True)]
    places = Places(Place(partition, START + timedelta(seconds=moment), START) for partition, moment, _ in rows)
    expected: dict[Cell, list[float]] = {}
    for spec in specs:
        for (partition, moment, _), (*_, value) in zip(places, rows, strict=True):
            cell = Cell(spec, partition, bucket_start(moment, spec.width_seconds))
            expected[cell] = [expected.get(cell, [0.0])[0] + value]
    vectors = np.array([[value] for *_, value in rows], dtype=np.float32).reshape(len(rows), 1)
    assert totals(vector_cells(specs, places, vectors)) == expected


PAYLOADS: list[Any] = [
    {"price": 3, "tags": ["a", "b", None], "ok": True, "deep": {"topic": "war"}},
    {"price": 2.5, "tags": [], "ok": False, "deep": {"topic": 7}},
    {"price": "4", "tags": "a", "deep": [{"topic": "war"}, {"topic": "sea"}]},
    {"price": [1, 2, float("nan"), 10**400], "deep": {"topic": None}},
    {"price": None},
    ["no object"],
    None,
]


@pytest.mark.parametrize(
    ("measured", "documents", "values"),
    [
        (Measured("number", "price"), 3, [1, 2, 2.5, 3]),
        (Measured("number", "ok"), 0, []),
        (Measured("category", "tags"), 2, {"a": 2, "b": 1}),
        (Measured("category", "ok"), 2, {"true": 1, "false": 1}),
        (Measured("category", "deep.topic"), 3, {"war": 2, "sea": 1, "7": 1}),
        (Measured("category", "payload.deep.topic"), 3, {"war": 2, "sea": 1, "7": 1}),
    ],
)
def test_a_field_gives_what_of_it_can_be_measured(measured: Measured, documents: int, values: Any) -> None:
    spec = SketchSpec("ns", "col_a", measured.key, "event_time", 86_400)
    cells = field_cells([spec], Places([Place(0, START, START)] * len(PAYLOADS)), PAYLOADS, measured)
    if not documents:
        assert cells == {}
        return
    ((cell, filled),) = cells.items()
    assert (cell, filled.documents) == (Cell(spec, 0, START), documents)
    if isinstance(filled.sketch, NumberSketch):
        assert filled.sketch.middles.tolist() == values
    else:
        assert isinstance(filled.sketch, CategorySketch)
        assert filled.sketch.named == values


@pytest.mark.parametrize(
    ("number", "stored"),
    [
        (1.0, 1),
        (-0.0, 0.0),
        (1e16, 10**16),
        (1.152921504606846976e18, 1152921504606847000),
        (0.1, 0.1),
        (1e22, 1e22),
    ],
)
def test_a_number_is_one_category_however_it_is_written(number: float, stored: float) -> None:
    """What PostgreSQL gives back of a document, from which a later trigger is filled, has other digits."""
    measured = Measured("category", "n")
    spec = SketchSpec("ns", "col_a", measured.key, "event_time", 86_400)
    payloads = [{"n": number}, {"n": stored}]
    ((_, filled),) = field_cells([spec], Places([Place(0, START, START)] * 2), payloads, measured).items()
    assert isinstance(filled.sketch, CategorySketch)
    assert list(filled.sketch.named.values()) == [2]


def test_documents_are_counted_without_a_sketch() -> None:
    spec = SketchSpec("ns", "col_a", DOCUMENTS.key, "event_time", 3_600)
    places = Places(
        [Place(0, START, START), Place(0, START + timedelta(minutes=1), START), Place(1, START, START)]
    )
    assert counted_cells([spec], places) == {Cell(spec, 0, START): (2, None), Cell(spec, 1, START): (1, None)}


def test_only_writes_of_the_collection_are_sketched() -> None:
    changes = [
        change("documents_added", "a"),
        change("documents_updated", "b"),
        change("documents_deleted", "c"),
        change("documents_added", "d", "col_b"),
    ]
    assert arrived(changes, ("ns", "col_a")) == changes[:2]


def test_vectors_of_other_dimensions_are_left_out() -> None:
    places = Places(Place(number, START, START) for number in range(3))
    vectors = [np.ones(2, dtype=np.float32), np.ones(3, dtype=np.float32), np.zeros(2, dtype=np.float32)]
    kept, matrix = fitting(places, vectors, 2)
    assert (kept, matrix.tolist()) == ((places[0], places[2]), [[1, 1], [0, 0]])
    kept, matrix = fitting(places, vectors, 9)
    assert (kept, matrix.shape) == ((), (0, 9))
