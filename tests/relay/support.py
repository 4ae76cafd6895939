"""What the relay's tests share: running relays, filling the outbox, reading topics to their end."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import ConsumerRecord, TopicPartition

from schemas.topics import Topic
from streams.relay.station import Relay
from streams.runtime.agent import Context
from streams.runtime.database import fetch_value
from streams.runtime.outbox import enqueue
from tests.support import eventually


@asynccontextmanager
async def relaying(context: Context) -> AsyncIterator[Relay]:
    """A running relay; what it raises is raised when the block ends."""
    relay = Relay(context)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        relay.stop()
        await task


async def fill(context: Context, topic: Topic, values: Sequence[bytes], key: bytes | None = b"k") -> None:
    """Enqueue one row per value, in one transaction."""
    async with context.database.transaction() as connection:
        for value in values:
            await enqueue(connection, topic, key, value, {"x-test": "yes"})


async def waiting_rows(context: Context) -> int:
    """Rows in the outbox."""
    async with context.database.connection() as connection:
        return int(await fetch_value(connection, "SELECT count(*) FROM outbox"))


async def until_empty(context: Context) -> None:
    """Wait until the outbox is empty."""

    async def empty() -> bool:
        return await waiting_rows(context) == 0

    await eventually(empty, what="the outbox is empty")


async def read_topic(context: Context, topic: Topic) -> list[ConsumerRecord]:
    """Every record of a topic up to its present end, partition by partition."""
    name = context.broker.topic(topic)
    consumer = context.broker.consumer()
    await consumer.start()
    try:
        partitions = [TopicPartition(name, number) for number in sorted(await _partitions(consumer, name))]
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        records: list[ConsumerRecord] = []

        async def all_read() -> bool:
            for found in (await consumer.getmany(timeout_ms=100)).values():
                records.extend(found)
            positions = [await consumer.position(tp) >= ends[tp] for tp in partitions]
            return all(positions)

        await eventually(all_read, what=f"{name} is read to its end")
    finally:
        await consumer.stop()
    return sorted(records, key=lambda record: (record.partition, record.offset))


async def _partitions(consumer: object, name: str) -> set[int]:
    async def known() -> set[int] | None:
        await consumer._client.force_metadata_update()  # type: ignore[attr-defined]
        return consumer.partitions_for_topic(name)  # type: ignore[attr-defined, no-any-return]

    found = await eventually(known, what=f"partitions of {name}")
    assert found is not None
    return found
