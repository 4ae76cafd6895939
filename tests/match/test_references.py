"""Reference collections in memory: read when they are named, caught up with, dropped, never set back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from schemas.events.document import encode_document_event
from schemas.headers import SOURCE_POSITION
from schemas.topics import REFERENCES
from streams.engines.retrieval.execution.corpus import Scope
from streams.match.references import References
from streams.runtime.agent import Context
from streams.runtime.failure import LogMismatchError
from tests.log import recreate
from tests.match.support import NS, upsert

PEOPLE, PLACES = (NS, "people"), (NS, "places")


async def publish(context: Context, *records: tuple[str, str, int | None, str]) -> None:
    """Records (collection, document, number or ``None`` for a deletion, position), in order."""
    producer = context.broker.producer()
    await producer.start()
    try:
        for collection, document, number, position in records:
            event = upsert(document, collection_id=collection, payload={"n": number})
            await producer.send_and_wait(
                context.broker.topic(REFERENCES),
                None if number is None else encode_document_event(event),
                key=event.key,
                headers=[(SOURCE_POSITION, position.encode())],
            )
    finally:
        await producer.stop()


@asynccontextmanager
async def references(context: Context, **options: float) -> AsyncIterator[References]:
    held = References(context.broker, **options)
    try:
        yield held
    finally:
        await held.stop()


async def numbers(held: References) -> dict[str, int]:
    """Document → number, of everything held."""
    rows = await held.corpus(NS).scan(Scope(), 1_000)
    return {f"{row.collection_id}/{row.document_id}": row.fields["n"] for row in rows}


async def test_what_is_named_is_held_as_of_now(context: Context) -> None:
    await publish(context, ("people", "a", 1, "0:1"), ("places", "x", 9, "0:2"), ("people", "b", 2, "1:1"))
    async with references(context) as held:
        await held.catch_up()
        assert not held.reading
        held.want([PEOPLE])
        await held.catch_up()
        assert await numbers(held) == {"people/a": 1, "people/b": 2}
        assert sum(held.position().values()) == 3
        for turn in range(10):
            await publish(
                context, ("people", "a", 10 + turn, f"0:{10 + turn}"), ("people", f"new{turn}", turn, "2:1")
            )
            await held.catch_up()
            assert (await numbers(held))["people/a"] == 10 + turn
            assert f"people/new{turn}" in await numbers(held)
        await publish(context, ("people", "b", None, "1:2"))
        await held.catch_up()
        assert "people/b" not in await numbers(held)


async def test_collections_come_and_go(context: Context) -> None:
    await publish(context, ("people", "a", 1, "0:1"), ("places", "x", 9, "0:2"))
    async with references(context) as held:
        held.want([PEOPLE])
        await held.catch_up()
        held.want([PEOPLE, PLACES])
        await held.follow()
        await held.catch_up()
        assert await numbers(held) == {"people/a": 1, "places/x": 9}
        held.want([PLACES])
        await held.catch_up()
        assert await numbers(held) == {"places/x": 9}
        held.want([])
        await held.catch_up()
        assert not held.reading
        assert await numbers(held) == {}
        assert held.position() == {}
        held.want([PEOPLE])
        await held.catch_up()
        assert await numbers(held) == {"people/a": 1}


async def test_a_record_published_twice_sets_nothing_back(context: Context) -> None:
    """A relay that was killed between acknowledgement and deletion publishes rows again."""
    records = [("people", "a", 1, "0:1"), ("people", "a", 2, "0:2")]
    await publish(context, *records, records[0])
    async with references(context) as held:
        held.want([PEOPLE])
        await held.catch_up()
        assert await numbers(held) == {"people/a": 2}
        # From another partition of documents: the later record is the newer one.
        await publish(context, ("people", "a", 3, "1:0"))
        await held.catch_up()
        assert await numbers(held) == {"people/a": 3}


@pytest.mark.parametrize("more", [0, 2], ids=["it ends earlier", "it goes on"])
async def test_a_recreated_topic_ends_the_reading(context: Context, more: int) -> None:
    """What was written to the new topic before the old one's end would never be read."""
    await publish(context, ("people", "a", 1, "0:1"), ("people", "a", 2, "0:2"))
    async with references(context, check_seconds=0.0) as held:
        held.want([PEOPLE])
        await held.catch_up()
        await held.catch_up()
        await recreate(context, REFERENCES)
        await publish(context, *(("people", "a", 7, f"0:{number}") for number in range(1 + more)))
        with pytest.raises(LogMismatchError, match="put out again"):
            await held.catch_up()


@pytest.mark.parametrize("position", ["", "x", "1", "1:-2"])
async def test_a_foreign_record_is_passed_over(context: Context, position: str) -> None:
    await publish(context, ("people", "bad", 1, position), ("people", "good", 2, "0:1"))
    async with references(context) as held:
        held.want([PEOPLE])
        await held.catch_up()
        assert await numbers(held) == {"people/good": 2}
