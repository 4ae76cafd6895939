"""The ``definitions`` topic: its first record names the stream, and it holds every definition.

PostgreSQL is the truth. A new leader looks at the topic's first record:

=============================  ==============================================================
it finds                       it does
=============================  ==============================================================
no record                      publishes the stream record, then every definition and tombstone
the record it noted as begun   nothing: the topic is the one this database has filled
another record of our stream   publishes every definition again: the topic was recreated, or
                               filling it was cut short, or retention removed its beginning
a record of another stream     stops (``LogMismatchError``)
=============================  ==============================================================

What it noted is a row of ``positions`` with the first record's timestamp, written after the filling was
acknowledged. Definitions whose records still wait in the outbox are left to it.
"""

from typing import Final

from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition

from schemas.events.definition import DefinitionRecord, encode_definition, stream_record
from schemas.topics import DEFINITIONS
from streams.runtime.broker import Broker, Sends
from streams.runtime.database import Connection, StoredPosition, note_positions, stored_positions
from streams.runtime.definitions import every_record
from streams.runtime.definitions_tail import check_stream, first_record
from streams.runtime.failure import LogMismatchError
from streams.runtime.identity import stream_epoch

_STATION: Final = "relay"
_CHUNK: Final = 1_000


async def open_definitions(connection: Connection, broker: Broker, producer: AIOKafkaProducer) -> int:
    """Make the topic whole before anything else is published; returns how many definitions that took.

    Raises :class:`LogMismatchError` when the topic belongs to another stream.
    """
    epoch = await stream_epoch(connection)
    topic = broker.topic(DEFINITIONS)
    first = await first_record(broker)
    if first is None:
        await _publish(producer, topic, [stream_record(epoch)])
        first = await first_record(broker)
        if first is None:
            raise LogMismatchError(f"{topic} is empty although its first record was acknowledged")
    check_stream(topic, first, epoch)
    known = (await stored_positions(connection, _STATION, topic)).get(0)
    if known is not None and (known.last_timestamp, known.last_key) == (first.timestamp, first.key):
        return 0
    missing = await _not_waiting(connection)
    for start in range(0, len(missing), _CHUNK):
        await _publish(producer, topic, missing[start : start + _CHUNK])
    await _note(connection, topic, first)
    return len(missing)


async def _not_waiting(connection: Connection) -> list[DefinitionRecord]:
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        records = await every_record(connection)
        cursor = await connection.execute("SELECT key FROM outbox WHERE topic = %s", (DEFINITIONS.name,))
        waiting = {row[0] for row in await cursor.fetchall()}
    return [record for record in records if record.key not in waiting]


async def _publish(producer: AIOKafkaProducer, topic: str, records: list[DefinitionRecord]) -> None:
    sends = Sends(producer)
    try:
        for record in records:
            await sends.send(topic, record.key, encode_definition(record))
    finally:
        await sends.acknowledged()


async def _note(connection: Connection, topic: str, first: ConsumerRecord) -> None:
    reached = StoredPosition(first.offset + 1, first.timestamp, first.key)
    await note_positions(connection, _STATION, {TopicPartition(topic, 0): reached})
