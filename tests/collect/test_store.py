"""Rows as they are written and read back, and what becomes of a document that somebody else has just added."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

import numpy as np

from schemas.errors import DecodeError
from schemas.events.document import MAX_KEY_BYTES, DocumentEvent, encode_document_event
from schemas.events.document_chunk import read_document_events
from streams.collect.arrivals import Arrival
from streams.collect.fold import Folded, Tally, Version
from streams.collect.store import claim_events, created_at, write_documents, write_tallies
from streams.runtime.agent import Context
from tests.collect.harness import fetch

START = datetime(2024, 2, 29, 12, 30, 0, 123_456, tzinfo=UTC)


def version(document: str, *, offset: int = 0, measured: datetime | None = None, **fields: object) -> Version:
    event = DocumentEvent("document.upserted", "ns", "col", document, START, **fields)  # type: ignore[arg-type]
    arrival = Arrival(2, offset, START + timedelta(seconds=1), event)
    return Version(arrival, START + timedelta(hours=offset % 7), measured or START)


def folded(*versions: Version) -> Folded:
    return Folded(documents={one.arrival.key: one for one in versions})


async def test_rows_come_back_as_they_were_given(context: Context) -> None:
    vectors = {"u": np.array([0.1, -2, 3e-9], dtype=np.float32), "v": np.ones(1, dtype=np.float32)}
    late = START + timedelta(days=3)
    given = [
        version(
            "all", text="große 🌊", payload={"a": [1, None, "ü"]}, asset_id="x/y", features=vectors, measured=late
        ),
        version("bare", offset=2**40),
        version("list", payload=[], text=""),
        version("null", payload=None),
    ]
    async with context.database.transaction() as connection:
        await write_documents(connection, folded(*given), ())
    rows = await fetch(
        context,
        "SELECT document_id, payload, text, asset_id, occurred_at, appended_at, partition, record_offset,"
        " created_at, late_at FROM documents ORDER BY document_id",
    )
    assert rows == [
        (
            one.arrival.event.document_id,
            one.arrival.event.payload,
            one.arrival.event.text,
            one.arrival.event.asset_id,
            START,
            START + timedelta(seconds=1),
            2,
            one.arrival.offset,
            one.created_at,
            late if one is given[0] else None,
        )
        for one in given
    ]
    stored = await fetch(context, "SELECT feature_uri, embedding FROM document_vectors ORDER BY 1")
    assert [(uri, vector.to_numpy().tolist()) for uri, vector in stored] == [
        (uri, vector.tolist()) for uri, vector in vectors.items()
    ]


async def test_a_document_that_another_worker_has_just_added_is_replaced(context: Context) -> None:
    one = np.ones(2, dtype=np.float32)
    async with context.database.transaction() as connection:
        await write_documents(connection, folded(version("a", text="theirs", features={"u": one})), ())
    async with context.database.transaction() as connection:
        ours = (version("a", offset=7, text="ours", features={"u": 2 * one}), version("b", text="new"))
        # The look-up was before theirs was committed.
        await write_documents(connection, folded(*ours), ())
        assert (await created_at(connection, [("ns", "col", "a"), ("ns", "col", "c")])).keys() == {
            ("ns", "col", "a")
        }
    assert await fetch(context, "SELECT document_id, text, record_offset FROM documents ORDER BY 1") == [
        ("a", "ours", 7),
        ("b", "new", 0),
    ]
    ((vector,),) = await fetch(context, "SELECT embedding FROM document_vectors")
    assert vector.to_list() == [2, 2]


async def test_ids_as_long_as_they_may_be_fit_every_index(context: Context) -> None:
    """What is decoded can be stored: random characters, which no index makes shorter."""
    chance = Random(3)

    def text(size: int) -> str:
        return "".join(chance.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(size))

    namespace, collection, document, feature = text(700), text(700), text(800), text(400)
    one = np.ones(1, dtype=np.float32)
    event = DocumentEvent(
        "document.upserted", namespace, collection, document, START, event_id=text(1_900), features={feature: one}
    )
    size = len(namespace + collection + document + feature)
    assert (size, len(namespace) + len(event.event_id or "")) == (MAX_KEY_BYTES, MAX_KEY_BYTES)
    (read,) = read_document_events([Record(event.key, encode_document_event(event))])
    assert isinstance(read, DocumentEvent)
    arrival = Arrival(0, 0, START, read)
    tally = Tally(next_offset=1, added=1)
    async with context.database.transaction() as connection:
        await claim_events(connection, {(namespace, read.event_id or ""): START})
        await write_documents(connection, folded(Version(arrival, START, START)), ())
        await write_tallies(connection, {arrival.scope: tally})
    for longer in (replace(event, document_id=document + "x"), replace(event, event_id=f"{event.event_id}x")):
        (refused,) = read_document_events([Record(longer.key, encode_document_event(longer))])
        assert isinstance(refused, DecodeError)
        assert "2,601 bytes together, allowed are 2,600" in str(refused)
    assert isinstance(
        read_document_events([Record(replace(event, document_id=text(1_201)).key, None)])[0], DecodeError
    )


class Record(NamedTuple):
    """What is read of a record."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int = 0
