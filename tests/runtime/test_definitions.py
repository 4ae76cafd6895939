"""Definitions: version order, the tail that folds them, and which stream a log belongs to."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from schemas.events.definition import DefinitionRecord, decode_definition, encode_definition, stream_record
from schemas.headers import DefinitionsVersion
from schemas.topics import DEFINITIONS, DOCUMENTS
from streams.runtime.agent import Context
from streams.runtime.catalog import Catalog
from streams.runtime.database import StoredPosition
from streams.runtime.definitions import (
    current_version,
    delete_definition,
    find_definition,
    list_definitions,
    put_definition,
)
from streams.runtime.definitions_tail import DefinitionsTail
from streams.runtime.failure import LogMismatchError
from streams.runtime.identity import check_log, stream_epoch
from tests.support import eventually


def record(identifier: str, version: int, *, deleted: bool = False) -> DefinitionRecord:
    return DefinitionRecord("alert", "n", identifier, 1, DefinitionsVersion("e", version), deleted=deleted)


@given(
    st.permutations(
        [record("a", 1), record("b", 2), record("a", 3, deleted=True), record("b", 4), record("c", 5)]
    ).flatmap(lambda order: st.tuples(st.just(order), st.lists(st.sampled_from(order))))
)
def test_folding_ends_alike_whatever_the_order_and_repeats(
    case: tuple[list[DefinitionRecord], list[DefinitionRecord]],
) -> None:
    order, repeats = case
    catalog = Catalog("e")
    for item in [*order, *repeats]:
        catalog.fold(item)
    assert catalog.version == 5
    assert sorted((held.id, held.version.number) for held in catalog.of("alert")) == [("b", 4), ("c", 5)]
    assert catalog.get("alert", "n", "a") is None


def test_another_epoch_changes_nothing() -> None:
    catalog = Catalog("other")
    assert not catalog.fold(record("a", 1))
    assert catalog.version == 0


async def test_versions_follow_commits(context: Context) -> None:
    async def write(number: int) -> int:
        async with context.database.transaction() as connection:
            stored = await put_definition(
                connection, "alert", "n", f"alt_{number}", f"name {number}", {"n": number}
            )
            return stored.record.version.number

    numbers = await asyncio.gather(*(write(number) for number in range(12)))
    assert sorted(numbers) == list(range(1, 13))
    async with context.database.connection() as connection:
        outbox = await (await connection.execute("SELECT value FROM outbox ORDER BY id")).fetchall()
        assert (await current_version(connection)).number == 12
    assert [decode_definition(value).version.number for (value,) in outbox] == list(range(1, 13))


async def test_names_are_unique_until_deleted(context: Context) -> None:
    async with context.database.transaction() as connection:
        await put_definition(connection, "alert", "n", "alt_1", "Ebola", {})
    with pytest.raises(psycopg.errors.UniqueViolation):
        async with context.database.transaction() as connection:
            await put_definition(connection, "alert", "n", "alt_2", "Ebola", {})
    async with context.database.transaction() as connection:
        await put_definition(connection, "alert", "other", "alt_2", "Ebola", {})
        assert await delete_definition(connection, "alert", "n", "alt_1")
        assert not await delete_definition(connection, "alert", "n", "alt_1")
        await put_definition(connection, "alert", "n", "alt_3", "Ebola", {})
    async with context.database.connection() as connection:
        found = await find_definition(connection, "alert", "n", "Ebola")
        assert found is not None
        assert found.record.id == "alt_3"
        assert await find_definition(connection, "alert", "n", "alt_1") is None
        assert [item.record.id for item in await list_definitions(connection, "alert", "n")] == ["alt_3"]


@pytest.fixture
async def producer(context: Context) -> AsyncIterator[AIOKafkaProducer]:
    producer = context.broker.producer()
    await producer.start()
    yield producer
    await producer.stop()


async def test_the_tail_folds_what_the_snapshot_did_not_have(context: Context, producer: AIOKafkaProducer) -> None:
    async with context.database.transaction() as connection:
        first = await put_definition(connection, "alert", "n", "alt_1", "one", {})
    epoch = first.record.version.epoch
    changes: list[str] = []
    tail = DefinitionsTail(context.broker, context.database, lambda changed: changes.append(changed.id))
    await tail.start()
    try:
        assert tail.catalog.get("alert", "n", "alt_1") is not None
        later = DefinitionRecord("alert", "n", "alt_2", 2, DefinitionsVersion(epoch, 2))
        waiting = asyncio.create_task(tail.wait_for(later.version, 20))
        for value in (encode_definition(stream_record(epoch)), b"garbage", encode_definition(later)):
            await producer.send_and_wait(context.broker.topic(DEFINITIONS), value, key=b"k")
        assert await waiting
        assert changes == ["alt_2"]
        assert not await tail.wait_for(DefinitionsVersion(epoch, 99), 0.05)
        assert not await tail.wait_for(DefinitionsVersion("another", 1), 20)
        assert tail.failure is None
    finally:
        await tail.stop()


async def test_a_topic_of_another_stream_ends_the_tail(context: Context, producer: AIOKafkaProducer) -> None:
    tail = DefinitionsTail(context.broker, context.database)
    await tail.start()
    try:
        await producer.send_and_wait(
            context.broker.topic(DEFINITIONS), encode_definition(stream_record("foreign")), key=b"k"
        )

        async def failed() -> bool:
            return isinstance(tail.failure, LogMismatchError)

        await eventually(failed)
    finally:
        await tail.stop()


async def test_a_refreshed_tail_is_as_new_as_the_database(context: Context) -> None:
    async with context.database.transaction() as connection:
        for name in ("alt_gone", "alt_kept"):
            await put_definition(connection, "alert", "n", name, name, {})
    changes: list[tuple[str, bool]] = []
    tail = DefinitionsTail(
        context.broker, context.database, lambda changed: changes.append((changed.id, changed.deleted))
    )
    await tail.start()
    try:
        async with context.database.transaction() as connection:
            await delete_definition(connection, "alert", "n", "alt_gone")
            last = await put_definition(connection, "alert", "n", "alt_new", "alt_new", {})
        waiting = asyncio.create_task(tail.wait_for(last.record.version, 20))
        await tail.refresh()
        assert await waiting
        assert sorted(changes) == [("alt_gone", True), ("alt_new", False)]
        assert sorted(held.id for held in tail.catalog.of("alert")) == ["alt_kept", "alt_new"]
        await tail.refresh()
        assert len(changes) == 2
    finally:
        await tail.stop()


async def test_an_old_record_does_not_bring_a_deleted_definition_back(
    context: Context, producer: AIOKafkaProducer
) -> None:
    async with context.database.transaction() as connection:
        old = await put_definition(connection, "alert", "n", "alt_1", "one", {})
        await delete_definition(connection, "alert", "n", "alt_1")
    marker = DefinitionRecord("alert", "n", "alt_2", 2, DefinitionsVersion(old.record.version.epoch, 3))
    tail = DefinitionsTail(context.broker, context.database)
    await tail.start()
    try:
        for record in (old.record, marker):
            await producer.send_and_wait(
                context.broker.topic(DEFINITIONS), encode_definition(record), key=record.key
            )
        assert await tail.wait_for(marker.version, 20)
        assert [held.id for held in tail.catalog.of("alert")] == ["alt_2"]
    finally:
        await tail.stop()


@pytest.mark.parametrize(
    ("value", "says"),
    [(encode_definition(stream_record("foreign")), "belongs to stream foreign"), (b"?", "not of this system")],
)
async def test_the_tail_does_not_start_on_a_topic_of_another_stream(
    context: Context, producer: AIOKafkaProducer, value: bytes, says: str
) -> None:
    await producer.send_and_wait(context.broker.topic(DEFINITIONS), value, key=b"k")
    tail = DefinitionsTail(context.broker, context.database)
    try:
        with pytest.raises(LogMismatchError, match=says):
            await tail.start()
    finally:
        await tail.stop()


async def test_the_log_must_hold_what_was_read_from_it(context: Context, producer: AIOKafkaProducer) -> None:
    topic = context.broker.topic(DOCUMENTS)
    sent = await producer.send_and_wait(topic, b"v", key=b"k", partition=0)
    partition = TopicPartition(topic, 0)
    good = StoredPosition(1, sent.timestamp, b"k")
    await check_log(context.broker, "s", [partition], {partition: good})
    for bad, says in (
        (StoredPosition(1, sent.timestamp + 1, b"k"), "another record"),
        (StoredPosition(1, sent.timestamp, b"other"), "another record"),
        (StoredPosition(7, sent.timestamp, b"k"), "ends at offset 1"),
    ):
        with pytest.raises(LogMismatchError, match=says):
            await check_log(context.broker, "s", [partition], {partition: bad})
    async with context.database.connection() as connection:
        assert len(await stream_epoch(connection)) == 36
