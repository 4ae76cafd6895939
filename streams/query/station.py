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
from streams.runtime.faults import fault
from streams.runtime.loop import Batch, DeadLetters, StationLoop
from streams.runtime.positions import Positions

NAME = "query"
TOPICS = (ALERT_RESULTS, RETRIEVER_EXECUTIONS, MATCH_PROGRESS, TRIGGER_RESULTS, NOTIFICATIONS)


class ViewWriter:
    """Applies batches to the view. A ``BatchHandler``."""

    name = NAME
    topics: tuple[Topic, ...] = TOPICS

    def __init__(self, context: Context, dead_letters: DeadLetters) -> None:
        self._dead_letters = dead_letters
        self._logical = {context.broker.topic(topic): topic.name for topic in TOPICS}
        self._positions = Positions(context, NAME)

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Behind what the view holds; the beginning of a log it holds nothing of, whatever the group committed."""
        return await self._positions.assign(partitions)

    async def handle(self, batch: Batch) -> None:
        """Put bad records away, then commit all rows and positions together."""
        unread = self._positions.unread(batch)
        if not unread:
            return
        rows = Rows()
        for records in unread.values():
            for record in records:
                try:
                    rows.add(self._logical[record.topic], record.value)
                except DecodeError as error:
                    await self._dead_letters.put(record, error)
        async with self._positions.transaction({tp: records[-1] for tp, records in unread.items()}) as connection:
            await write(connection, rows)
            await fault("query:before-commit")
        await fault("query:after-commit")


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
