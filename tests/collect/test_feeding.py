"""Reference documents: each write once and in order, stored ones by a walk, taken back when nobody asks."""

import asyncio
from contextlib import AbstractAsyncContextManager

import numpy as np
import pytest

from schemas.events.document import DocumentEvent, decode_document_event
from schemas.headers import SOURCE_POSITION, SourcePosition, header
from schemas.topics import REFERENCES
from streams.collect import feeding
from streams.collect.feeding import Feeder
from streams.runtime.agent import Context
from streams.runtime.clearing import clear
from streams.runtime.database import fetch_value
from streams.runtime.feeds import drain, drain_others, open_feeds, retract, unready
from tests.collect.harness import DAY, NS, caught_up, collecting, sent, upsert
from tests.log import read_topic, send
from tests.relay.support import relaying
from tests.support import at_work, eventually

URI = "mixpeek://passthrough_extractor@v1/face"


def feeding_alone(context: Context) -> AbstractAsyncContextManager[Feeder]:
    return at_work(Feeder(context.database))


async def number(context: Context, query: str) -> int:
    async with context.database.connection() as connection:
        return int(await fetch_value(connection, query))


async def opened(context: Context, *collections: str) -> None:
    async with context.database.transaction() as connection:
        await open_feeds(connection, NS, collections)


async def abandoned(context: Context, *named: str) -> None:
    """Nobody names any other collection, and nobody is about to."""
    async with context.database.transaction() as connection:
        await connection.execute("UPDATE reference_feeds SET kept_until = now() - interval '1 s'")
        await drain_others(connection, NS, named)


async def fed(context: Context, *collections: str) -> None:
    async def ready() -> bool:
        async with context.database.connection() as connection:
            return not await unready(connection, NS, collections)

    await eventually(ready, what="the collections are fed")


async def gone(context: Context) -> None:
    async def none() -> bool:
        async with context.database.connection() as connection:
            return int(await fetch_value(connection, "SELECT count(*) FROM reference_feeds")) == 0

    await eventually(none, what="the feeds are gone")


async def folded(context: Context) -> dict[str, DocumentEvent]:
    """The documents the topic holds, and that no key ever went back."""
    held: dict[str, DocumentEvent] = {}
    reached: dict[bytes, tuple[int, int]] = {}
    for record in await read_topic(context, REFERENCES):
        event = decode_document_event(record.key, record.value, (), appended_at=DAY)
        position = SourcePosition.parse(header(record.headers, SOURCE_POSITION))
        partition, offset = reached.get(record.key, (position.partition, -1))
        assert partition == position.partition
        assert offset <= position.offset
        reached[record.key] = (position.partition, position.offset)
        if record.value is None:
            held.pop(event.document_id, None)
        else:
            held[event.document_id] = event
    return held


def person(name: str, *face: float, collection: str = "col_people") -> DocumentEvent:
    return upsert(name, collection, text=f"about {name}", features={URI: np.array(face, dtype=np.float32)})


def deletion(name: str) -> DocumentEvent:
    return upsert(name, "col_people", type="document.deleted")


async def test_writes_follow_and_the_rest_is_not_published(context: Context) -> None:
    await opened(context, "col_people")
    await fed(context, "col_people")
    async with collecting(context), relaying(context):
        await send(context, [sent(person("a", 1, 2)), sent(person("b", 3, 4)), sent(upsert("x", "col_a"))])
        await send(context, [sent(person("a", 5, 6)), sent(deletion("b"))])
        await caught_up(context)

        async def published() -> bool:
            return set(await folded(context)) == {"a"}

        await eventually(published, what="the reference documents are published")
    held = await folded(context)
    assert held["a"].text == "about a"
    assert held["a"].features[URI].tolist() == [5.0, 6.0]


async def test_stored_documents_are_walked_in_steps(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "STEP", 3)
    events = [person(f"p{number:02}", number, 1) for number in range(10)]
    async with collecting(context), relaying(context):
        await send(context, map(sent, events))
        await caught_up(context)
        await opened(context, "col_people", "col_empty")
        await fed(context, "col_people", "col_empty")
        held = await folded(context)
        assert set(held) == {event.document_id for event in events}
        for event in events:
            seeded = held[event.document_id]
            assert (seeded.text, seeded.payload, seeded.occurred_at) == (event.text, None, event.occurred_at)
            assert seeded.features[URI].tolist() == event.features[URI].tolist()
        await abandoned(context)
        await gone(context)
        assert await folded(context) == {}
        await send(context, [sent(person("late", 1, 1))])
        await caught_up(context)
        await opened(context, "col_people")
        await fed(context, "col_people")
        assert set(await folded(context)) == {*held, "late"}


async def test_a_walk_waits_until_its_last_step_is_published(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "STEP", 2)
    async with collecting(context):
        await send(context, [sent(person(f"p{number}", 1)) for number in range(5)])
        await caught_up(context)
    await opened(context, "col_people")
    feeder = Feeder(context.database)
    assert await feeder.turn() == 0.0
    for _ in range(3):
        assert await feeder.turn() > 0.0
    async with context.database.connection() as connection:
        assert await fetch_value(connection, "SELECT count(*) FROM outbox WHERE topic = 'references'") == 2
        assert await unready(connection, NS, ["col_people"]) == {"col_people"}
    async with feeding_alone(context), relaying(context):
        await fed(context, "col_people")
    assert len(await folded(context)) == 5


async def test_writes_during_walks_are_never_overtaken(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Feeds open, drain and open again while the same documents are written and deleted: the topic ends as the
    table does."""
    monkeypatch.setattr(feeding, "STEP", 4)
    names = [f"p{number:02}" for number in range(30)]
    async with collecting(context), relaying(context):
        for turn in range(12):
            writes = [sent(person(name, turn + 1, 1)) for name in names[turn % 3 :]]
            writes += [sent(deletion(name)) for name in names[turn % 5 :: 7]]
            publishing = asyncio.create_task(send(context, writes))
            if turn % 3 == 0:
                await opened(context, "col_people")
            elif turn % 3 == 2:
                await abandoned(context)
            await publishing
        await caught_up(context)
        await opened(context, "col_people")
        await fed(context, "col_people")
        async with context.database.connection() as connection:
            cursor = await connection.execute(
                "SELECT document_id, embedding FROM document_vectors WHERE collection_id = 'col_people'"
            )
            stored = {row[0]: row[1].to_list() for row in await cursor.fetchall()}

        async def equal() -> bool:
            return {
                name: event.features[URI].tolist() for name, event in (await folded(context)).items()
            } == stored

        assert stored
        await eventually(equal, what="the topic holds what is stored")


async def test_documents_of_a_collection_that_is_deleted_are_taken_back(context: Context) -> None:
    await opened(context, "col_people", "col_other")
    async with collecting(context), relaying(context):
        await send(context, [sent(person("a", 1)), sent(person("o", 1, collection="col_other"))])
        await caught_up(context)
        async with context.database.transaction() as connection:
            await drain(connection, NS, "col_people")

        async def left() -> bool:
            return set(await folded(context)) == {"o"}

        await eventually(left, what="only the other collection's document is left")

        async def drained() -> bool:
            return await number(context, "SELECT count(*) FROM reference_feeds") == 1

        await eventually(drained, what="the feed has ended")
        await clear(context.database, NS, "col_people")
        assert await number(context, "SELECT count(*) FROM documents") == 1
        async with context.database.transaction() as connection:
            await retract(connection, NS)

        async def empty() -> bool:
            return await folded(context) == {}

        await eventually(empty, what="the namespace's are taken back")
