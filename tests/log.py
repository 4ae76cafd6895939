"""Topics as tests look at them from outside: written by a producer, read to the end, deleted and made again."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.admin import RecordsToDelete

from schemas.topics import DOCUMENTS, Topic
from streams.runtime.agent import Context
from streams.runtime.broker import end_offsets
from tests.support import eventually


@dataclass(frozen=True)
class Sent:
    """A record to publish."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
    timestamp_ms: int | None = None


async def send(context: Context, records: Iterable[Sent]) -> None:
    """Publish documents in order and wait for the acknowledgements."""
    producer = context.broker.producer(linger_ms=5)
    await producer.start()
    try:
        futures = [
            await producer.send(
                context.broker.topic(DOCUMENTS),
                record.value,
                key=record.key,
                headers=list(record.headers),
                partition=record.partition,
                timestamp_ms=record.timestamp_ms,
            )
            for record in records
        ]
        await asyncio.gather(*futures)
    finally:
        await producer.stop()


async def read_topic(context: Context, topic: Topic) -> list[ConsumerRecord]:
    """Every record of a topic up to its present end, partition by partition."""
    name = context.broker.topic(topic)
    consumer = context.broker.consumer()
    await consumer.start()
    try:
        ends = {TopicPartition(name, number): end for number, end in (await end_offsets(consumer, name)).items()}
        consumer.assign(sorted(ends))
        await consumer.seek_to_beginning(*ends)
        records: list[ConsumerRecord] = []

        async def all_read() -> bool:
            for found in (await consumer.getmany(timeout_ms=100)).values():
                records.extend(found)
            # Tansu names an end within the last batch when it is asked; what it names in a fetch is right.
            reached = [
                await consumer.position(tp) >= max(end, consumer.highwater(tp) or 0) for tp, end in ends.items()
            ]
            return all(reached)

        await eventually(all_read, what=f"{name} is read to its end")
    finally:
        await consumer.stop()
    return sorted(records, key=lambda record: (record.partition, record.offset))


async def let_go(context: Context, topic: Topic) -> None:
    """Delete every record of a topic, as the broker does with what is kept no longer. Needs Apache Kafka."""
    consumer = context.broker.consumer()
    await consumer.start()
    try:
        name = context.broker.topic(topic)
        ends = await end_offsets(consumer, name)
    finally:
        await consumer.stop()
    admin = context.broker.admin()
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(name, n): RecordsToDelete(end) for n, end in ends.items()})
    finally:
        await admin.close()


async def recreate(context: Context, topic: Topic) -> None:
    """Delete and create a topic, as somebody might by hand."""
    name = context.broker.topic(topic)
    admin = context.broker.admin()
    await admin.start()
    try:
        await admin.delete_topics([name])

        async def gone() -> bool:
            return name not in await admin.list_topics()

        await eventually(gone, what="the topic is gone")
    finally:
        await admin.close()

    async def created() -> bool:
        return name in await context.broker.create_topics()

    await eventually(created, what="the topic is made again")
