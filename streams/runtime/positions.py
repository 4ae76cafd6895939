"""Where a station that keeps its positions in PostgreSQL stands.

The loop may hand a batch over twice: when the batch was committed and only Kafka's commit of it failed, or when
a fetch was under way while the consumer was placed. What is below the position has been done, so it is dropped;
a position never moves backwards.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import ConsumerRecord, TopicPartition

from streams.runtime.agent import Context
from streams.runtime.database import (
    Advance,
    Connection,
    StoredPosition,
    advance_positions,
    stored_positions,
)
from streams.runtime.failure import PositionLostError
from streams.runtime.identity import check_log


class Positions(Mapping[TopicPartition, int]):
    """The next offset of every partition in hand, in step with the table ``positions``."""

    def __init__(self, context: Context, station: str) -> None:
        self._broker = context.broker
        self._database = context.database
        self._station = station
        self._next: dict[TopicPartition, int] = {}

    def __getitem__(self, partition: TopicPartition) -> int:
        return self._next[partition]

    def __iter__(self) -> Iterator[TopicPartition]:
        return iter(self._next)

    def __len__(self) -> int:
        return len(self._next)

    async def assign(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Take these partitions and no others, each where it is stored to stand; one without a position from
        its beginning, whatever the consumer group remembers: the database is the truth about what was done.
        Raises :class:`LogMismatchError`."""
        known = await self._stored(partitions)
        await check_log(self._broker, self._station, partitions, known)
        self._next = {tp: known[tp].next_offset if tp in known else 0 for tp in partitions}
        return dict(self._next)

    async def check(self) -> None:
        """Compare with what is stored. Raises :class:`PositionLostError` where that is not as this worker left it:
        the partition is another worker's now, what the station keeps was emptied to be made again, or a crash of
        the database undid the last moves."""
        stored = await self._stored(self._next)
        for tp, expected in self._next.items():
            found = stored[tp].next_offset if tp in stored else 0
            if found != expected:
                raise PositionLostError(
                    f"{self._station} left {tp.topic} partition {tp.partition} at {expected},"
                    f" and it stands at {found}"
                )

    async def _stored(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, StoredPosition]:
        """All stored positions of the topics of these partitions."""
        known: dict[TopicPartition, StoredPosition] = {}
        async with self._database.connection() as connection:
            for topic in {partition.topic for partition in partitions}:
                for number, position in (await stored_positions(connection, self._station, topic)).items():
                    known[TopicPartition(topic, number)] = position
        return known

    def unread(
        self, batch: Mapping[TopicPartition, Sequence[ConsumerRecord]]
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        """A batch without the records that lie below the position; a partition of only such is left out."""
        left = {tp: [r for r in records if r.offset >= self._next[tp]] for tp, records in batch.items()}
        return {tp: records for tp, records in left.items() if records}

    @asynccontextmanager
    async def transaction(
        self, last: Mapping[TopicPartition, ConsumerRecord], *, durable: bool = True
    ) -> AsyncIterator[Connection]:
        """One transaction that moves the positions behind these records; what the caller writes in it is
        committed with the move or not at all.

        The move comes first: a worker that lost a partition is refused before it does any work. Not ``durable``,
        it may be undone by a crash of the database in the next second, rows and positions together: for a station
        that only writes what it then reads again. Raises :class:`PositionLostError`.
        """
        moves = self._moves(last)

        async def first(connection: Connection) -> None:
            if not durable:
                await connection.execute("SET LOCAL synchronous_commit = off")
            await advance_positions(connection, self._station, moves)

        async with self._database.transaction(first=first) as connection:
            yield connection
        self._next.update({move.partition: move.next_offset for move in moves})

    @asynccontextmanager
    async def moving(
        self, last: Mapping[TopicPartition, ConsumerRecord]
    ) -> AsyncIterator[tuple[Connection, Sequence[Advance]]]:
        """The same moves for a caller that does them together with what it writes in one statement
        (:data:`streams.runtime.database.MOVED`), and a connection in autocommit mode for that."""
        moves = self._moves(last)
        async with self._database.connection() as connection:
            yield connection, moves
        self._next.update({move.partition: move.next_offset for move in moves})

    def _moves(self, last: Mapping[TopicPartition, ConsumerRecord]) -> list[Advance]:
        return [
            Advance(tp, self._next[tp], record.offset + 1, record.timestamp, record.key)
            for tp, record in last.items()
        ]
