"""The definitions topic: named by its first record, whole whatever happened to it."""

import asyncio

import pytest

from schemas.events.definition import DefinitionRecord, decode_definition, encode_definition, stream_record
from schemas.headers import DefinitionsVersion
from schemas.topics import DEFINITIONS, TRIGGER_RESULTS
from streams.relay.definitions import _note
from streams.relay.station import Relay
from streams.runtime.agent import Context
from streams.runtime.broker import Sends
from streams.runtime.definitions import delete_definition, put_definition
from streams.runtime.definitions_tail import first_record
from streams.runtime.failure import LogMismatchError
from streams.runtime.identity import stream_epoch
from tests.log import read_topic, recreate
from tests.relay.support import fill, relaying, until_empty, waiting_rows
from tests.support import eventually


async def _epoch(context: Context) -> str:
    async with context.database.connection() as connection:
        return await stream_epoch(connection)


async def _put(context: Context, identifier: str) -> None:
    async with context.database.transaction() as connection:
        await put_definition(connection, "alert", "ns_1", identifier, identifier, {"alert_id": identifier})


async def _records(context: Context) -> list[DefinitionRecord]:
    return [decode_definition(record.value) for record in await read_topic(context, DEFINITIONS)]


async def test_the_stream_record_comes_first_and_each_definition_once(context: Context) -> None:
    await _put(context, "alt_1")
    await fill(context, TRIGGER_RESULTS, [b"1"])
    async with relaying(context):
        await until_empty(context)
    first, *others = await _records(context)
    assert first == stream_record(await _epoch(context))
    assert [record.id for record in others] == ["alt_1"]


async def test_a_restart_publishes_nothing_again(context: Context) -> None:
    for identifier in ("alt_1", "alt_2"):
        await _put(context, identifier)
        async with relaying(context):
            await until_empty(context)
    assert [record.id for record in await _records(context)] == ["epoch", "alt_1", "alt_2"]


async def test_a_recreated_topic_gets_everything_back(context: Context) -> None:
    await _put(context, "alt_kept")
    await _put(context, "alt_deleted")
    async with relaying(context):
        await until_empty(context)
    async with context.database.transaction() as connection:
        assert await delete_definition(connection, "alert", "ns_1", "alt_deleted")
    async with relaying(context):
        await until_empty(context)
    await recreate(context, DEFINITIONS)
    await _put(context, "alt_new")
    async with relaying(context):
        await until_empty(context)
    records = await _records(context)
    assert [(record.id, record.deleted, record.version.number) for record in records] == [
        ("epoch", False, 0),
        ("alt_kept", False, 1),
        ("alt_deleted", True, 3),
        ("alt_new", False, 4),
    ]


async def test_filling_that_was_cut_short_is_done_again(context: Context) -> None:
    await _put(context, "alt_1")
    async with relaying(context):
        await until_empty(context)
    first = await first_record(context.broker)
    assert first is not None
    async with context.database.connection() as connection:
        # As if this topic were a new one whose filling had not come to its end.
        first.timestamp -= 1
        await _note(connection, context.broker.topic(DEFINITIONS), first)
    async with relaying(context):

        async def filled() -> bool:
            return len(await _records(context)) == 3

        await eventually(filled, what="the definition is published again")
    assert [record.id for record in await _records(context)] == ["epoch", "alt_1", "alt_1"]


@pytest.mark.parametrize("foreign", [True, False])
async def test_a_topic_of_another_stream_stops_the_relay(context: Context, foreign: bool) -> None:
    producer = context.broker.producer()
    await producer.start()
    sends = Sends(producer)
    record = DefinitionRecord("alert", "ns_1", "alt_1", 1, DefinitionsVersion("another", 1))
    value = b"not ours at all" if foreign else encode_definition(record)
    await sends.send(context.broker.topic(DEFINITIONS), record.key, value)
    await sends.acknowledged()
    await producer.stop()
    await fill(context, TRIGGER_RESULTS, [b"1"])
    with pytest.raises(LogMismatchError, match="not of this system" if foreign else "belongs to stream another"):
        await asyncio.wait_for(Relay(context).run(), 30)
    assert await waiting_rows(context) == 1
    assert await read_topic(context, TRIGGER_RESULTS) == []
