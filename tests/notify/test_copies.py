"""Batch channels: what an alert fires on is copied into a collection, on a real broker and database."""

from dataclasses import replace
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from schemas.events.alert_result import AlertResultRecord, Found
from schemas.events.document import DocumentEvent, decode_document_event
from schemas.headers import CAUSED_BY, CauseDepthError
from schemas.topics import DOCUMENTS
from streams.notify import copies
from streams.notify.copying import Copy, copy_body, read_copy
from streams.runtime.agent import Context
from streams.runtime.definitions import put_definition
from tests.notify.support import (
    AT,
    NAMESPACE,
    TurnedClock,
    allowing,
    deliveries,
    hit,
    notices,
    notifying,
    publish,
    put_alert,
    result,
    until_state,
)

BATCH = {"channel_type": "batch", "config": {"collection_id": "col_hits"}}


def test_what_is_copied_is_the_document_the_alert_fired_on() -> None:
    record = replace(result(7), caused_by=("trig_1",))
    copied = read_copy(copy_body(record, hit()))
    assert copied == Copy((("col_1", "doc_1"),), 0, 7, ("trig_1", "alt_1"))


def test_of_a_window_the_matches_are_copied() -> None:
    matches: list[dict[str, Any]] = [
        {"document_id": "a", "metadata": {"collection_id": "col_1"}},
        {"document_id": "b"},
    ]
    decided = replace(result(), document_id="", source_topic="")
    fired = replace(hit(), found=Found(2, matches, {}))
    assert read_copy(copy_body(decided, fired)) == Copy((("col_1", "a"),), None, 0, ("alt_1",))


def test_a_chain_that_is_too_long_is_refused() -> None:
    with pytest.raises(CauseDepthError, match="a → b → c → d → alt_1"):
        copy_body(replace(result(), caused_by=("a", "b", "c", "d")), hit())


async def collection(context: Context, **fields: Any) -> None:
    body = {"collection_id": "col_hits", "enabled": True, **fields}
    async with context.database.transaction() as connection:
        await put_definition(connection, "collection", NAMESPACE, "col_hits", "hits", body)


async def collected(context: Context, offset: int, *, stored: bool = True) -> None:
    """What collect has written when it has come behind ``offset``."""
    async with context.database.transaction() as connection:
        if stored:
            await connection.execute(
                "INSERT INTO documents (namespace_id, collection_id, document_id, payload, text, occurred_at,"
                " appended_at, partition, record_offset, created_at)"
                " VALUES (%s, 'col_1', 'doc_1', %s, 'hello', %s, %s, 0, %s, %s)",
                (NAMESPACE, Jsonb({"n": 1}), AT, AT, offset, AT),
            )
            await connection.execute(
                "INSERT INTO document_vectors VALUES (%s, 'col_1', 'mixpeek://a@v1/v', 'doc_1', '[1,2]')",
                (NAMESPACE,),
            )
        await connection.execute(
            "INSERT INTO positions (station, topic, partition, next_offset) VALUES ('collect', %s, 0, %s)",
            (context.broker.topic(DOCUMENTS), offset + 1),
        )


async def written(context: Context) -> list[tuple[DocumentEvent, str | None]]:
    """The documents waiting in the outbox and what they are caused by."""
    async with context.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT key, value, headers FROM outbox WHERE topic = 'documents' ORDER BY id"
        )
        rows = await cursor.fetchall()
    return [
        (decode_document_event(row[0], row[1], (), appended_at=AT), dict(row[2]).get(CAUSED_BY)) for row in rows
    ]


async def told(context: Context, item: AlertResultRecord, state: str) -> str | None:
    """Publish, wait for the end of the delivery, and give its error."""
    async with notifying(allowing(context)):
        await put_alert(context, "alt_1", BATCH)
        await publish(context, [item])
        await until_state(context, state, 1)
    return (await deliveries(context))[0][4]


async def test_a_document_is_copied_whole_with_its_cause(context: Context) -> None:
    await collection(context)
    await collected(context, 3)
    assert await told(context, replace(result(3), caused_by=("trig_x",)), "delivered") is None
    ((event, causes),) = await written(context)
    assert (event.collection_id, event.document_id, event.text) == ("col_hits", "doc_1", "hello")
    assert event.payload["n"] == 1
    assert (event.payload["source_collection_id"], event.payload["source_document_id"]) == ("col_1", "doc_1")
    assert event.features["mixpeek://a@v1/v"].tolist() == [1, 2]
    assert causes == "trig_x,alt_1"
    (notice,) = await notices(context)
    assert (notice.status, notice.channel_type, notice.attempt, notice.http_status) == (
        "delivered",
        "batch",
        1,
        None,
    )


async def test_a_document_that_is_there_can_be_left_alone(context: Context) -> None:
    await collection(context)
    await collected(context, 0)
    async with context.database.connection() as connection:
        await connection.execute(
            "INSERT INTO documents (namespace_id, collection_id, document_id, occurred_at, appended_at, partition,"
            " record_offset, created_at) SELECT namespace_id, 'col_hits', document_id, occurred_at, appended_at,"
            " partition, record_offset, created_at FROM documents"
        )
    skipping = {**BATCH, "config": {"collection_id": "hits", "dedup_strategy": "skip"}}
    async with notifying(allowing(context)):
        await put_alert(context, "alt_1", skipping)
        await publish(context, [result()])
        await until_state(context, "delivered", 1)
    assert await written(context) == []


async def test_a_document_that_was_deleted_is_not_copied(context: Context) -> None:
    await collection(context)
    await collected(context, 0, stored=False)
    assert "was deleted" in (await told(context, result(), "failed") or "")


async def test_a_collection_that_is_not_there_takes_nothing(context: Context) -> None:
    await collected(context, 0)
    assert "no collection 'col_hits'" in (await told(context, result(), "failed") or "")


async def test_a_disabled_collection_takes_nothing(context: Context) -> None:
    await collection(context, enabled=False)
    await collected(context, 0)
    assert "is disabled" in (await told(context, result(), "failed") or "")


async def test_a_document_that_is_not_collected_yet_is_waited_for(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "WAIT_SECONDS", 0.1)
    await collection(context)
    clock = TurnedClock()
    async with notifying(allowing(context, clock)):
        await put_alert(context, "alt_1", BATCH)
        await publish(context, [result(5)])
        await until_state(context, "pending", 1)
        await collected(context, 5)
        clock.advance(10)
        await until_state(context, "delivered", 2)
    assert len(await written(context)) == 1


async def test_too_long_a_chain_of_causes_fails_the_delivery_with_words(context: Context) -> None:
    await collection(context)
    await collected(context, 0)
    async with notifying(allowing(context)):
        await put_alert(context, "alt_1", BATCH)
        await publish(context, [replace(result(), caused_by=("a", "b", "c", "d"))])
        await until_state(context, "failed", 0)
    ((*_, error),) = await deliveries(context)
    assert error is not None
    assert "a → b → c → d → alt_1" in error
    (notice,) = await notices(context)
    assert (notice.status, notice.error) == ("failed", error)
    assert await written(context) == []
