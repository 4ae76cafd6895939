"""A station's positions over a real topic: kept in the database, never read twice, never moved back."""

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from schemas.topics import ALERT_RESULTS
from streams.runtime.agent import Context
from streams.runtime.broker import Sends
from streams.runtime.database import stored_positions
from streams.runtime.failure import PositionLostError
from streams.runtime.positions import Positions


@pytest.fixture
async def records(context: Context) -> list[ConsumerRecord]:
    """Six records of one partition."""
    topic = context.broker.topic(ALERT_RESULTS)
    async with context.broker.producer() as producer:
        sends = Sends(producer)
        for number in range(6):
            await sends.send(topic, b"k", str(number).encode(), [], 0)
        await sends.acknowledged()
    consumer = context.broker.consumer()
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        found: list[ConsumerRecord] = []
        while len(found) < 6:
            found += (await consumer.getmany(timeout_ms=1_000)).get(partition, [])
        return found
    finally:
        await consumer.stop()


async def stored(context: Context, partition: TopicPartition) -> int | None:
    async with context.database.connection() as connection:
        held = await stored_positions(connection, "s", partition.topic)
    return held[partition.partition].next_offset if partition.partition in held else None


async def test_what_was_done_is_dropped_and_the_rest_is_behind_it(
    context: Context, records: list[ConsumerRecord]
) -> None:
    mine, other = (TopicPartition(context.broker.topic(ALERT_RESULTS), number) for number in range(2))
    positions = Positions(context, "s")
    assert await positions.assign([mine, other]) == {mine: 0, other: 0}
    async with positions.transaction({mine: records[3]}):
        assert positions[mine] == 0
    assert (positions[mine], await stored(context, mine)) == (4, 4)
    assert positions.unread({mine: records, other: []}) == {mine: records[4:]}
    assert positions.unread({mine: records[:4]}) == {}
    again = Positions(context, "s")
    assert await again.assign([mine]) == {mine: 4}
    assert dict(again) == {mine: 4}


async def test_a_transaction_that_fails_moves_nothing(context: Context, records: list[ConsumerRecord]) -> None:
    partition = TopicPartition(context.broker.topic(ALERT_RESULTS), 0)
    positions, rival = Positions(context, "s"), Positions(context, "s")
    await positions.assign([partition])
    await rival.assign([partition])
    with pytest.raises(ZeroDivisionError):
        async with positions.transaction({partition: records[1]}):
            raise ZeroDivisionError
    assert (positions[partition], await stored(context, partition)) == (0, None)
    async with positions.transaction({partition: records[1]}):
        pass
    with pytest.raises(PositionLostError):
        async with rival.transaction({partition: records[4]}):
            raise AssertionError("the worker that lost the partition did its work")
    with pytest.raises(PositionLostError):
        async with positions.transaction({partition: records[0]}):
            pass
    assert (positions[partition], await stored(context, partition)) == (2, 2)
