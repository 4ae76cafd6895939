"""query: result topics → the read view, one transaction per batch (design section 1).

What a crash in the middle costs: nothing. Rows and positions commit together; before the commit the batch is
read again, after it reading goes on behind it. The whole view can be rebuilt by emptying its tables and its
positions.
"""

from collections.abc import Mapping, Sequence

from aiokafka import TopicPartition

from schemas.errors import DecodeError
from schemas.topics import (
    ALERT_RESULTS,
    MATCH_PROGRESS,
    NOTIFICATIONS,
    RETRIEVER_EXECUTIONS,
    TRIGGER_RESULTS,
    Topic,
)
from streams.query.rows import Rows
from streams.query.store import write
from streams.runtime.agent import Context, StreamAgent
from streams.runtime.database import Advance, StoredPosition, advance_positions, stored_positions
from streams.runtime.faults import fault
from streams.runtime.identity import check_log
from streams.runtime.loop import Batch, DeadLetters, StationLoop

NAME = "query"
TOPICS = (ALERT_RESULTS, RETRIEVER_EXECUTIONS, MATCH_PROGRESS, TRIGGER_RESULTS, NOTIFICATIONS)


class ViewWriter:
    """Applies batches to the view. A ``BatchHandler``."""

    name = NAME
    topics: tuple[Topic, ...] = TOPICS

    def __init__(self, context: Context, dead_letters: DeadLetters) -> None:
        self._context = context
        self._dead_letters = dead_letters
        self._logical = {context.broker.topic(topic): topic.name for topic in TOPICS}
        self._positions: dict[TopicPartition, int] = {}

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Behind what the view holds; the beginning of a log it holds nothing of, whatever the group committed."""
        known: dict[TopicPartition, StoredPosition] = {}
        async with self._context.database.connection() as connection:
            for topic in {partition.topic for partition in partitions}:
                for number, position in (await stored_positions(connection, NAME, topic)).items():
                    known[TopicPartition(topic, number)] = position
        await check_log(self._context.broker, NAME, partitions, known)
        self._positions = {tp: known[tp].next_offset if tp in known else 0 for tp in partitions}
        return self._positions

    async def handle(self, batch: Batch) -> None:
        """Put bad records away, then commit all rows and positions together."""
        rows = Rows()
        moves: list[Advance] = []
        for partition, records in batch.items():
            for record in records:
                try:
                    rows.add(self._logical[record.topic], record.value)
                except DecodeError as error:
                    await self._dead_letters.put(record, error)
            last = records[-1]
            expected = self._positions.get(partition, 0)
            moves.append(Advance(partition, expected, last.offset + 1, last.timestamp, last.key))
        async with self._context.database.transaction() as connection:
            await advance_positions(connection, NAME, moves)
            await write(connection, rows)
            await fault("query:before-commit")
        await fault("query:after-commit")
        self._positions.update({move.partition: move.next_offset for move in moves})


class QueryStation:
    """The materialiser as a stream agent."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._context = context
        self._loop: StationLoop | None = None
        self._stopped = False

    async def run(self) -> None:
        """Materialise until :meth:`stop`."""
        broker = self._context.broker
        producer = broker.producer()
        await producer.start()
        try:
            writer = ViewWriter(self._context, DeadLetters(broker, producer, NAME))
            self._loop = StationLoop(broker, writer, batch_records=self._context.settings.batch_documents)
            if not self._stopped:
                await self._loop.run()
        finally:
            await producer.stop()

    def stop(self) -> None:
        """End after the batch in hand."""
        self._stopped = True
        if self._loop is not None:
            self._loop.stop()


def build(context: Context) -> StreamAgent:
    """The station, not yet running."""
    return QueryStation(context)
