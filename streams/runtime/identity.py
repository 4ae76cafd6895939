"""Which stream this is, and whether the log and the database still belong together (design section 3).

The stream epoch is a UUID in the database and in the first record of ``definitions``. When they differ, or
the log no longer holds what a stored position says was read there, results could be lost or doubled without
anybody noticing, so the station stops and says what to do.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from streams.runtime.broker import Broker
from streams.runtime.database import Connection, StoredPosition
from streams.runtime.failure import LogMismatchError


async def stream_epoch(connection: Connection) -> str:
    """The epoch of the stream this database belongs to."""
    row = await (await connection.execute("SELECT epoch::text FROM stream_identity")).fetchone()
    if row is None:
        raise LogMismatchError("the database has no stream identity; run `tidewatch topics create` first")
    return str(row[0])


def mismatch(partition: TopicPartition, known: StoredPosition, found: ConsumerRecord | None) -> str | None:
    """Why the log cannot be the one ``known`` was read from, or ``None`` if it can.

    ``found`` is the record now at ``known.next_offset - 1``; ``None`` when retention has removed it, which
    proves nothing.
    """
    if found is None or known.last_timestamp is None or found.offset != known.next_offset - 1:
        return None
    if found.timestamp != known.last_timestamp or found.key != known.last_key:
        return (
            f"{partition.topic}/{partition.partition} at offset {found.offset} holds another record than the one "
            f"processed there (timestamp {found.timestamp}, then {known.last_timestamp})"
        )
    return None


async def check_log(
    broker: Broker,
    station: str,
    partitions: Sequence[TopicPartition],
    known: Mapping[TopicPartition, StoredPosition],
    advice: str = "",
) -> None:
    """Compare stored positions with the log. Raises :class:`LogMismatchError` with what to do (``advice``, or how
    a stream goes on), after having looked for five seconds for records that the log does not seem to hold."""
    checked = [tp for tp in partitions if tp in known and known[tp].next_offset > 0]
    if not checked:
        return
    consumer: AIOKafkaConsumer = broker.consumer()
    await consumer.start()
    try:
        begins = await consumer.beginning_offsets(checked)
        for tp in checked:
            if known[tp].next_offset <= begins[tp]:
                continue
            consumer.assign([tp])
            if (problem := await _problem(consumer, tp, known[tp])) is not None:
                raise LogMismatchError(f"station {station}: {problem}. {advice or _ADVICE}")
    finally:
        await consumer.stop()


async def _problem(consumer: AIOKafkaConsumer, tp: TopicPartition, known: StoredPosition) -> str | None:
    """Why the partition cannot be the one ``known`` was read from.

    The end that a broker names is not proof enough that a record is gone: Tansu's is the offset after the first
    record of the last batch. What counts is whether the record can be read.
    """
    last = known.next_offset - 1
    deadline = time.monotonic() + _LOOK_SECONDS
    while True:
        end = (await consumer.end_offsets([tp]))[tp]
        consumer.seek(tp, last)
        left = deadline - time.monotonic()
        # Where the log ends before the record, nothing comes, or the log's beginning does.
        wait = max(left, _LOOK_AGAIN_SECONDS) if end > last else _LOOK_AGAIN_SECONDS
        records = (await consumer.getmany(tp, timeout_ms=int(wait * 1000), max_records=1)).get(tp, [])
        found = records[0] if records else None
        if end > last or (found is not None and found.offset == last):
            return mismatch(tp, known, found)
        if left < 0:
            end = max(end, consumer.highwater(tp) or 0)
            return (
                f"{tp.topic}/{tp.partition} ends at offset {end} but records up to {known.next_offset} were "
                "processed"
            )
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)


_LOOK_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.25

_ADVICE = (
    "The topic was recreated or the database was restored from a backup. Restore the one that is older, or start "
    "a new stream: point TIDEWATCH_DATABASE at an empty database (and TIDEWATCH_TOPIC_PREFIX at new topics)."
)
