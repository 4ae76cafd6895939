"""The fold: its rules one by one, and that the cut into batches does not change what is stored."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from schemas.events.document import DocumentEvent, EventType
from streams.collect.arrivals import Arrival, interleave
from streams.collect.fold import Folded, Known, Tally, Version, fold

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOW = timedelta(seconds=100)
SCOPE = ("ns", "col", 0)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def arrival(
    offset: int,
    document: str = "d",
    kind: EventType = "document.upserted",
    *,
    occurred: float = 0,
    appended: float | None = None,
    event_id: str | None = None,
    mark: float | None = None,
    partition: int = 0,
) -> Arrival:
    event = DocumentEvent(kind, "ns", "col", document, at(occurred), event_id=event_id)
    appended_at = at(offset if appended is None else appended)
    return Arrival(partition, offset, appended_at, event, None if mark is None else at(mark))


def folded(*arrivals: Arrival, known: Known | None = None, lateness: float = 0) -> Folded:
    return fold(arrivals, known or Known(), lateness=timedelta(seconds=lateness), window=WINDOW)


def counts(tally: Tally) -> tuple[int, int, int, int, int]:
    return tally.added, tally.updated, tally.deleted, tally.duplicates, tally.late


def test_the_last_write_wins_and_the_first_one_dates_the_document() -> None:
    first, second = arrival(3), arrival(5)
    result = folded(first, second)
    assert result.documents == {("ns", "col", "d"): Version(second, at(3), at(0))}
    assert counts(result.tallies[SCOPE]) == (1, 1, 0, 0, 0)
    assert [change.kind for change in result.changes] == ["documents_added", "documents_updated"]
    assert result.tallies[SCOPE].next_offset == 6


def test_a_write_to_a_stored_document_is_an_update_and_keeps_its_date() -> None:
    known = Known(created={("ns", "col", "d"): at(-50)})
    result = folded(arrival(0), known=known)
    assert counts(result.tallies[SCOPE]) == (0, 1, 0, 0, 0)
    assert result.documents["ns", "col", "d"] == Version(arrival(0), at(-50), at(0))


def test_delete_then_add_is_a_new_document() -> None:
    known = Known(created={("ns", "col", "d"): at(-50)})
    result = folded(arrival(0, kind="document.deleted"), arrival(1), known=known)
    assert counts(result.tallies[SCOPE]) == (1, 0, 1, 0, 0)
    assert result.documents["ns", "col", "d"] == Version(arrival(1), at(1), at(0))


def test_deleting_what_does_not_exist_is_nothing() -> None:
    result = folded(arrival(0, kind="document.deleted"))
    assert counts(result.tallies[SCOPE]) == (0, 0, 0, 0, 0)
    assert result.documents == {}
    assert result.changes == []
    result = folded(arrival(0), *(arrival(n, kind="document.deleted") for n in (1, 2)))
    assert counts(result.tallies[SCOPE]) == (1, 0, 1, 0, 0)
    assert result.documents == {("ns", "col", "d"): None}


def test_a_repeat_within_the_window_changes_nothing() -> None:
    result = folded(arrival(0, event_id="e"), arrival(1, "other", event_id="e"))
    assert counts(result.tallies[SCOPE]) == (1, 0, 0, 1, 0)
    assert result.documents.keys() == {("ns", "col", "d")}
    known = Known(seen={("ns", "e"): at(0)})
    assert counts(folded(arrival(99, event_id="e"), known=known).tallies[SCOPE]) == (0, 0, 0, 1, 0)


def test_after_the_window_an_event_id_is_new_and_remembered_from_then() -> None:
    known = Known(seen={("ns", "e"): at(0)})
    result = folded(*(arrival(n, event_id="e", appended=n) for n in (100, 199, 200)), known=known)
    assert counts(result.tallies[SCOPE]) == (1, 1, 0, 1, 0)
    assert result.seen == {("ns", "e"): at(200)}


def test_late_documents_are_kept_and_counted() -> None:
    result = folded(arrival(0, "a", occurred=50), arrival(1, "b", occurred=49), arrival(2, "c", occurred=50))
    assert counts(result.tallies[SCOPE]) == (3, 0, 0, 0, 1)
    assert result.tallies[SCOPE].watermark == result.tallies[SCOPE].max_occurred_at == at(50)
    within = folded(arrival(0, "a", occurred=50), arrival(1, "b", occurred=45), lateness=5)
    assert counts(within.tallies[SCOPE]) == (2, 0, 0, 0, 0)
    assert within.tallies[SCOPE].watermark == at(45)


def test_a_stored_watermark_makes_late() -> None:
    known = Known(watermarks={SCOPE: at(70)})
    result = folded(arrival(0, occurred=69), known=known)
    assert counts(result.tallies[SCOPE]) == (1, 0, 0, 0, 1)
    assert result.tallies[SCOPE].watermark == at(70)
    assert result.tallies[SCOPE].max_occurred_at == at(69)


def test_a_late_document_is_measured_at_what_it_was_late_for() -> None:
    first, late, known = arrival(0, "a", occurred=50), arrival(1, "b", occurred=30), arrival(2, "c", occurred=60)
    said = replace(arrival(3, "d", occurred=40), late_at=at(55))
    on_time = replace(arrival(4, "e", occurred=58), late_at=at(55))
    absurd = replace(arrival(5, "f", occurred=0), late_at=at(10**8))
    result = folded(first, late, known, said, on_time, absurd)
    assert [change.measured_at for change in result.changes] == [
        at(50),
        at(50),
        at(60),
        at(55),
        at(58),
        at(86_405),
    ]
    assert result.tallies[SCOPE].late == 3
    assert result.documents["ns", "col", "b"] == Version(late, at(1), at(50))


def test_what_its_source_says_of_a_late_document_holds_in_every_partition() -> None:
    mark = arrival(0, "", "watermark", occurred=90)
    late = replace(arrival(1, "a", occurred=10), late_at=at(80))
    (here,) = folded(mark, late).changes
    (there,) = folded(replace(late, partition=1)).changes
    assert here.measured_at == there.measured_at == at(80)


def test_a_collection_may_be_more_patient() -> None:
    arrivals = [arrival(0, "a", occurred=50), arrival(1, "b", occurred=45)]
    patient = fold(
        arrivals,
        Known(),
        lateness=timedelta(0),
        window=WINDOW,
        patience={("ns", "col"): timedelta(seconds=5), ("ns", "other"): timedelta(seconds=99)},
    )
    assert (patient.tallies[SCOPE].late, patient.tallies[SCOPE].watermark) == (0, at(45))


def test_a_header_speaks_instead_of_the_document() -> None:
    result = folded(arrival(0, occurred=50, mark=20))
    assert result.tallies[SCOPE].watermark == at(20)


def test_watermark_events_move_event_time_and_nothing_else() -> None:
    result = folded(arrival(0, "", "watermark", occurred=90, event_id="e"))
    assert result.tallies[SCOPE] == Tally(next_offset=1, watermark=at(90))
    assert (result.documents, result.changes, result.seen) == ({}, [], {})


def test_a_deletion_says_nothing_about_event_time() -> None:
    result = folded(arrival(0, kind="document.deleted", occurred=90))
    assert result.tallies[SCOPE].watermark is None
    assert result.tallies[SCOPE].max_occurred_at is None


def test_an_instant_at_the_beginning_of_time_does_not_fail() -> None:
    event = DocumentEvent("document.upserted", "ns", "col", "d", datetime.min.replace(tzinfo=UTC))
    result = folded(Arrival(0, 0, START, event), lateness=60)
    assert result.tallies[SCOPE].watermark is None


def test_an_instant_far_ahead_of_its_append_time_moves_event_time_by_a_day_at_most() -> None:
    end = datetime.max.replace(tzinfo=UTC)
    day = timedelta(days=1)
    for kind, said, mark in (
        ("document.upserted", end, None),
        ("watermark", end, None),
        ("document.upserted", START, end),
    ):
        event = DocumentEvent(kind, "ns", "col", "d", said)  # type: ignore[arg-type]
        result = folded(Arrival(0, 0, START, event, mark))
        assert result.tallies[SCOPE].watermark == START + day
        known = Known(watermarks={SCOPE: START + day})
        later = folded(arrival(1, occurred=2 * 86_400, appended=2 * 86_400), known=known)
        assert (later.tallies[SCOPE].watermark, later.tallies[SCOPE].late) == (START + 2 * day, 0)
    within = folded(arrival(0, occurred=86_400, appended=0))
    assert within.tallies[SCOPE].watermark == START + day
    past = folded(arrival(0, occurred=-1e9, appended=0))
    assert past.tallies[SCOPE].watermark == at(-1e9)


def record(partition: int, offset: int, timestamp: int) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord("t", partition, offset, timestamp, 0, None, None, None, 0, 0, ())


def test_partitions_are_interleaved_by_append_time_and_keep_their_own_order() -> None:
    one = [record(0, 0, 5), record(0, 1, 3), record(0, 2, 9)]
    other = [record(1, 0, 4), record(1, 1, 6)]
    order = [(item.partition, item.offset) for item in interleave([one, other])]
    assert order == [(1, 0), (0, 0), (0, 1), (1, 1), (0, 2)]


ARRIVALS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.builds(
        dict,
        document=st.sampled_from("abc"),
        kind=st.sampled_from(("document.upserted", "document.upserted", "document.deleted", "watermark")),
        occurred=st.integers(-50, 50),
        event_id=st.none() | st.sampled_from(("e", "f")),
        mark=st.none() | st.integers(-50, 50),
        gap=st.integers(0, 60),
    ),
    max_size=25,
)


def after(known: Known, result: Folded) -> Known:
    """What is stored after a batch."""
    created = dict(known.created)
    for key, version in result.documents.items():
        created.pop(key, None)
        if version is not None:
            created[key] = version.created_at
    marks = {**known.watermarks, **{scope: tally.watermark for scope, tally in result.tallies.items()}}
    return Known(created, {**known.seen, **result.seen}, marks)


@given(ARRIVALS, st.lists(st.integers(0, 25), max_size=5))
def test_the_cut_into_batches_does_not_matter(raw: list[dict[str, Any]], cuts: list[int]) -> None:
    arrivals, now = [], 0
    for offset, fields in enumerate(raw):
        now += fields.pop("gap")
        arrivals.append(arrival(offset, fields.pop("document"), fields.pop("kind"), appended=now, **fields))
    whole = folded(*arrivals)
    known, total, changes = Known(), [0] * 5, []
    edges = [0, *sorted(cuts), len(arrivals)]
    for begin, end in pairwise(edges):
        part = folded(*arrivals[begin:end], known=known)
        known = after(known, part)
        changes += part.changes
        for tally in part.tallies.values():
            total = [one + more for one, more in zip(total, counts(tally), strict=True)]
    assert known == after(Known(), whole)
    assert changes == whole.changes
    assert total == list(counts(whole.tallies.get(SCOPE, Tally())))
    # Every document that exists was added once more often than deleted.
    assert total[0] - total[2] == len(known.created)
