"""The relay on a real broker and database: what is committed is published, in order, and once per leader."""

import asyncio
import os

import psycopg
import pytest
from aiokafka import TopicPartition

from schemas.topics import DEAD_LETTERS, DOCUMENTS, REFERENCES, TRIGGER_COMMANDS, TRIGGER_RESULTS
from streams.relay.leader import LOCK
from streams.relay.rows import UnknownTopicError
from streams.relay.station import BATCH_ROWS, Relay
from streams.runtime.agent import Context
from streams.runtime.broker import end_offsets
from streams.runtime.database import fetch_value
from streams.runtime.outbox import enqueue
from tests.log import read_topic
from tests.relay.support import fill, relaying, until_empty, waiting_rows
from tests.support import eventually
from tests.victim import killed

_LEADER = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


async def _leader(context: Context) -> int | None:
    async with context.database.connection() as connection:
        pid = await fetch_value(connection, _LEADER, (LOCK,))
    return None if pid is None else int(pid)


async def test_committed_rows_are_published_in_order_and_nothing_else(context: Context) -> None:
    count = BATCH_ROWS * 2 + 7
    await fill(context, TRIGGER_RESULTS, [b"%d" % number for number in range(count)])
    with pytest.raises(ZeroDivisionError):
        async with context.database.transaction() as connection:
            await enqueue(connection, TRIGGER_RESULTS, b"k", b"rolled back")
            _ = 1 / 0
    async with relaying(context):
        await until_empty(context)
        # Woken by the notification of this commit, or by the poll.
        await fill(context, TRIGGER_RESULTS, [b"later"])
        await until_empty(context)
    records = await read_topic(context, TRIGGER_RESULTS)
    assert [record.value for record in records] == [b"%d" % number for number in range(count)] + [b"later"]
    assert {record.key for record in records} == {b"k"}
    assert {tuple(record.headers) for record in records} == {(("x-test", b"yes"),)}


async def test_a_null_value_and_a_null_key_travel(context: Context) -> None:
    async with context.database.transaction() as connection:
        await enqueue(connection, TRIGGER_RESULTS, b"k", None)
        await enqueue(connection, TRIGGER_RESULTS, None, b"v")
    async with relaying(context):
        await until_empty(context)
    found = {(record.key, record.value) for record in await read_topic(context, TRIGGER_RESULTS)}
    assert found == {(b"k", None), (None, b"v")}


async def test_tombstones_keep_their_place(context: Context) -> None:
    """Also at the head of a batch, where nothing has a size yet."""
    values = [None, None, b"1", None, None, b"2", None]
    async with context.database.transaction() as connection:
        for value in values:
            await enqueue(connection, TRIGGER_RESULTS, b"k", value)
    async with relaying(context):
        await until_empty(context)
    assert [record.value for record in await read_topic(context, TRIGGER_RESULTS)] == values


async def test_killed_between_produce_and_delete_the_same_bytes_come_again(context: Context) -> None:
    values = [b"%d" % number for number in range(20)]
    await fill(context, TRIGGER_RESULTS, values)
    await killed(context.settings, "relay", "relay:after-produce")
    assert await waiting_rows(context) == len(values)
    assert [record.value for record in await read_topic(context, TRIGGER_RESULTS)] == values
    async with relaying(context):
        await until_empty(context)
    records = await read_topic(context, TRIGGER_RESULTS)
    assert [record.value for record in records] == values + values
    assert {tuple(record.headers) for record in records} == {(("x-test", b"yes"),)}


async def test_two_relays_have_one_leader_and_publish_once(context: Context) -> None:
    async with relaying(context), relaying(context):
        await eventually(lambda: _leader(context), what="a leader")
        for start in range(0, 100, 10):
            await fill(context, TRIGGER_RESULTS, [b"%d" % number for number in range(start, start + 10)])
        await until_empty(context)
        async with context.database.connection() as connection:
            held = await (await connection.execute(_LEADER.encode(), (LOCK,))).fetchall()
        assert len(held) == 1
    values = [record.value for record in await read_topic(context, TRIGGER_RESULTS)]
    assert values == [b"%d" % number for number in range(100)]


async def test_a_leader_that_loses_its_connection_is_replaced(context: Context) -> None:
    async with relaying(context), relaying(context):
        first = await eventually(lambda: _leader(context), what="a leader")
        await fill(context, TRIGGER_RESULTS, [b"before"])
        await until_empty(context)
        async with context.database.connection() as connection:
            await connection.execute("SELECT pg_terminate_backend(%s)", (first,))

        async def another() -> bool:
            return await _leader(context) not in (None, first)

        await eventually(another, what="another leader")
        await fill(context, TRIGGER_RESULTS, [b"after"])
        await until_empty(context)
    assert [record.value for record in await read_topic(context, TRIGGER_RESULTS)] == [b"before", b"after"]


async def test_a_stopped_leader_lets_the_lock_go(context: Context) -> None:
    async with relaying(context):
        await eventually(lambda: _leader(context), what="a leader")
    with psycopg.connect(context.settings.database) as connection:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
    assert row == (True,)


async def test_a_row_too_large_goes_to_dead_letters_and_blocks_nothing(context: Context) -> None:
    # Incompressible and over what the client sends at all; the others must pass, in order.
    large = os.urandom(9 * 1024 * 1024)
    await fill(context, TRIGGER_RESULTS, [b"1", large, b"2"])
    await fill(context, TRIGGER_COMMANDS, [b"3"])
    async with relaying(context):
        await until_empty(context)
    values = [record.value for record in await read_topic(context, TRIGGER_RESULTS)]
    # The batch was tried whole first, so the row before the large one may be there twice.
    assert list(dict.fromkeys(values)) == [b"1", b"2"]
    assert [record.value for record in await read_topic(context, TRIGGER_COMMANDS)][-1] == b"3"
    (letter,) = await read_topic(context, DEAD_LETTERS)
    facts = dict(letter.headers)
    assert letter.key == b"k"
    assert letter.value == large[: len(letter.value)]
    assert facts["x-dead-topic"] == b"trigger-results"
    assert facts["x-dead-size"] == b"%d" % len(large)
    assert facts["x-dead-error-type"] == b"MessageSizeTooLargeError"
    assert facts["x-test"] == b"yes"


async def test_a_row_the_broker_refuses_goes_to_dead_letters(context: Context, real_kafka: object) -> None:
    # Under the client's limit, over the topic's (1 MiB): only the broker says no, and it does so in the future.
    large = os.urandom(2 * 1024 * 1024)
    await fill(context, TRIGGER_RESULTS, [b"1", large, b"2"])
    async with relaying(context):
        await until_empty(context)
    values = [record.value for record in await read_topic(context, TRIGGER_RESULTS)]
    assert set(values) == {b"1", b"2"}
    (letter,) = await read_topic(context, DEAD_LETTERS)
    assert dict(letter.headers)["x-dead-size"] == b"%d" % len(large)


async def test_a_row_of_a_newer_version_stops_the_relay(context: Context) -> None:
    await fill(context, TRIGGER_RESULTS, [b"1"])
    async with context.database.connection() as connection:
        await connection.execute("INSERT INTO outbox (topic, key, value) VALUES ('moon-phases', 'k', 'v')")
    with pytest.raises(UnknownTopicError):
        await asyncio.wait_for(Relay(context).run(), 30)
    assert await waiting_rows(context) == 2


async def test_what_was_stored_before_a_document_was_written_is_in_the_log_before_it(context: Context) -> None:
    """Whoever has the document finds every reference record queued before it, also of the same batch."""
    documents, references = context.broker.topic(DOCUMENTS), context.broker.topic(REFERENCES)
    consumer = context.broker.consumer(fetch_max_wait_ms=5)
    await consumer.start()
    try:
        tp = TopicPartition(documents, 0)
        consumer.assign([tp])
        async with relaying(context):
            for turn in range(10):
                async with context.database.transaction() as connection:
                    for number in range(60):
                        await enqueue(connection, REFERENCES, b"r%d" % number, b"x" * 5_000)
                    # Its key's partition is the only one the consumer reads.
                    await enqueue(connection, DOCUMENTS, b"k-7", b"%d" % turn)

                async def comes() -> bool:
                    return bool(await consumer.getmany(timeout_ms=1))

                await eventually(comes, every=0.001, what="the document")
                assert sum((await end_offsets(consumer, references)).values()) == 60 * (turn + 1)
    finally:
        await consumer.stop()
