"""The system's own writes, when a producer or another of them came first; and what they add to sketches."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.events.document import DELETED, UPSERTED, DocumentEvent
from schemas.headers import SourcePosition
from streams.collect.arrivals import Arrival
from streams.collect.fold import Folded, Known, fold
from streams.collect.overtaking import Standing, settle
from streams.collect.sketching import arrived
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.runtime.agent import Context
from tests.collect.harness import (
    DRIFT,
    NS,
    caught_up,
    collecting,
    define_trigger,
    fetch,
    sent,
    stored_sketches,
    upsert,
)
from tests.log import Sent, send

START = datetime(2024, 1, 1, tzinfo=UTC)
KEY = ("ns", "col", "d")


def arrival(
    offset: int,
    payload: Any = None,
    *,
    made_from: int | None = None,
    changed: tuple[str, ...] = (),
    gone: bool = False,
    text: str | None = None,
    causes: tuple[str, ...] = (),
) -> Arrival:
    event = DocumentEvent(DELETED if gone else UPSERTED, "ns", "col", "d", START, payload, text)
    version = None if made_from is None else SourcePosition(0, made_from)
    appended_at = START + timedelta(seconds=offset)
    return Arrival(0, offset, appended_at, event, causes=causes, made_from=version, changed=changed)


def folded(*arrivals: Arrival, known: Known | None = None) -> Folded:
    return fold(arrivals, known or Known(), lateness=timedelta(0), window=timedelta(days=1))


def standing(result: Folded) -> DocumentEvent:
    version = result.documents[KEY]
    assert version is not None
    return version.arrival.event


def test_a_write_nobody_overtook_is_taken_whole() -> None:
    made = arrival(1, {"a": 1, "b": 2}, made_from=0, changed=("b",))
    result = folded(arrival(0, {"a": 1}), made)
    assert result.documents[KEY] is not None
    assert standing(result) == made.event


def test_of_an_overtaken_write_only_what_it_changed_is_taken() -> None:
    result = folded(
        arrival(0, {"a": 1, "x": 1}, text="old"),
        arrival(1, {"a": 2, "y": 1}, text="new"),
        arrival(2, {"a": 1, "x": 1, "topic": "t"}, made_from=0, changed=("topic",), text="old"),
        arrival(3, {"a": 1, "x": 1, "other": "o"}, made_from=0, changed=("other",), text="old"),
    )
    event = standing(result)
    assert (event.payload, event.text) == ({"a": 2, "y": 1, "topic": "t", "other": "o"}, "new")
    assert [change.kind for change in result.changes] == ["documents_added", *["documents_updated"] * 3]


def test_the_vectors_are_those_that_stand() -> None:
    vectors = {"mixpeek://a@v1/v": np.ones(2, dtype=np.float32)}
    first = arrival(1, {"a": 2})
    first = replace(first, event=replace(first.event, features=vectors))
    result = folded(arrival(0, {}), first, arrival(2, {"t": 1}, made_from=0, changed=("t",)))
    assert standing(result).features == vectors


def test_an_enrichment_of_the_event_s_own_fields() -> None:
    overtaken = arrival(2, {}, made_from=0, changed=("text", "asset_id"), text="better")
    assert standing(folded(arrival(0), arrival(1), overtaken)).text == "better"


def test_a_document_that_is_gone_stays_gone() -> None:
    made = arrival(2, {"t": 1}, made_from=0, changed=("t",))
    assert folded(arrival(0, {}), arrival(1, gone=True), made).documents == {KEY: None}
    nothing = folded(made)
    assert (nothing.documents, nothing.changes) == ({}, [])


def test_an_overtaken_write_that_changed_nothing_is_nothing() -> None:
    again = arrival(2, {"a": 1}, made_from=0)
    result = folded(arrival(0, {"a": 1}), arrival(1, {"a": 2}), again)
    assert standing(result).payload == {"a": 2}
    assert len(result.changes) == 2


def test_payloads_that_are_no_objects_are_left_alone() -> None:
    made = arrival(2, {"t": 1}, made_from=0, changed=("t",))
    assert settle(made, Standing.of(arrival(1, ["a", "list"]))) is None
    assert settle(replace(made, event=replace(made.event, payload=[1])), Standing.of(arrival(1, {}))) is None


Step = tuple[str, int, int]
steps = st.lists(st.tuples(st.sampled_from(("write", "enrich", "delete")), st.integers(0, 9), st.integers(0, 3)))


def arrivals_of(script: Sequence[Step]) -> list[Arrival]:
    """Writes of a producer, and enrichments made from some earlier write."""
    made: list[Arrival] = []
    payloads: dict[int, dict[str, Any]] = {}
    for offset, (kind, value, back) in enumerate(script):
        base = max(0, offset - 1 - back)
        if kind == "write":
            payloads[offset] = {"n": value}
            made.append(arrival(offset, payloads[offset]))
        elif kind == "delete":
            made.append(arrival(offset, gone=True))
        else:
            name = f"field{value % 3}"
            payloads[offset] = {**payloads.get(base, {}), name: value}
            made.append(arrival(offset, payloads[offset], made_from=base, changed=(name,)))
    return made


def plainly(arrivals: Sequence[Arrival]) -> dict[str, Any] | None:
    """The document in the end, one record at a time."""
    now: dict[str, Any] | None = None
    at = -1
    for one in arrivals:
        if one.event.type == DELETED:
            now, at = None, -1
        elif one.made_from is None or one.made_from.offset == at:
            now, at = one.event.payload, one.offset
        elif now is not None:
            now, at = {**now, one.changed[0]: one.event.payload[one.changed[0]]}, one.offset
    return now


@given(steps, st.lists(st.integers(1, 20), max_size=4))
def test_however_batches_are_cut_no_write_is_undone(script: list[Step], cuts: list[int]) -> None:
    arrivals = arrivals_of(script)
    # An enrichment of a document that is not there does not bring it back.
    expected = plainly([one for one in arrivals if one.made_from is None or one.made_from.offset < one.offset])
    known = Known()
    start = 0
    for end in [*sorted(set(cuts)), len(arrivals)]:
        result = folded(*arrivals[start:end], known=known)
        start = max(start, end)
        if KEY in result.documents:
            version = result.documents[KEY]
            known = (
                Known()
                if version is None
                else Known(created={KEY: version.created_at}, standing={KEY: Standing.of(version.arrival)})
            )
    found = known.standing.get(KEY)
    assert (None if found is None else found.event.payload) == expected


def test_what_the_system_writes_over_a_document_is_no_arrival() -> None:
    result = folded(
        arrival(0, {}, causes=("trig_copy",)),
        arrival(1, {"t": 1}, causes=("trig_enrich",)),
        arrival(2, {"t": 2}),
    )
    collection = ("ns", "col")
    assert [change.arrival.offset for change in arrived(result.changes, collection)] == [0, 2]
    assert [change.arrival.offset for change in arrived(result.changes, collection, {"trig_copy"})] == [2]
    assert arrived(result.changes, ("ns", "other")) == []


async def test_neither_a_producer_s_write_nor_an_enrichment_is_lost(context: Context) -> None:
    """The enrichment was made from the first version; the producer's second one reached the log before it."""
    vector = {"mixpeek://a@v1/v": np.ones(2, dtype=np.float32)}
    async with collecting(context):
        await send(context, [sent(upsert("d", payload={"n": 1}, text="first"))])
        await caught_up(context)
        ((partition, offset),) = await fetch(context, "SELECT partition, record_offset FROM documents")
        enriched = sent(upsert("d", payload={"n": 1, "topic": "t"}, text="first", event_id="evt_1"))
        headers = (
            ("x-source-position", f"{partition}:{offset}".encode()),
            ("x-changed", b'["topic"]'),
            ("x-caused-by", b"trig_1"),
        )
        await send(
            context,
            [
                sent(upsert("d", payload={"n": 2}, text="second", features=vector)),
                replace(enriched, headers=headers),
                # The relay sends it once more.
                replace(enriched, headers=headers),
            ],
        )
        await caught_up(context)
    assert await fetch(context, "SELECT payload, text FROM documents") == [({"n": 2, "topic": "t"}, "second")]
    assert await fetch(context, "SELECT count(*) FROM document_vectors") == [(1,)]
    assert await fetch(context, "SELECT sum(updated)::int, sum(duplicates)::int FROM collection_counters") == [
        (2, 1)
    ]


async def test_a_conditional_trigger_does_not_measure_what_it_has_caused(context: Context) -> None:
    await define_trigger(context, "trig_c", "conditional", DRIFT)

    def caused(document: str, chain: bytes) -> Sent:
        return replace(sent(upsert(document, text="x")), headers=(("x-caused-by", chain),))

    async with collecting(context):
        own = [sent(upsert("a", text="x")), caused("b", b"alt_1,trig_c"), caused("c", b"alt_1")]
        await send(context, [*own, caused("a", b"alt_1"), sent(upsert("b", text="y"))])
        await caught_up(context)
    sketches = await stored_sketches(context, HashingEmbedder.URI)
    # The first and the last, which a producer wrote, and what only an alert has caused.
    assert sum(sketch.count for sketch in sketches.values()) == 3


async def test_headers_that_cannot_be_read_make_a_dead_letter(context: Context) -> None:
    good = sent(upsert("d", payload={}))
    bad = [
        replace(good, headers=((name, value),))
        for name, value in (("x-source-position", b"1"), ("x-changed", b"{}"), ("x-changed", b"no"))
    ]
    await send(context, [*bad, Sent(f"{NS}/col_a/e".encode(), good.value and sent(upsert("e")).value)])
    async with collecting(context):
        await caught_up(context)
    assert await fetch(context, "SELECT document_id FROM documents") == [("e",)]
