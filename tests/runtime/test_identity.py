"""The log is compared with what was read from it, also on a broker that names too small an end."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from schemas.topics import DOCUMENTS
from streams.runtime.broker import Broker, end_offsets, fetched_ends
from streams.runtime.database import StoredPosition
from streams.runtime.dev.broker import embedded_broker
from streams.runtime.failure import LogMismatchError
from streams.runtime.identity import check_log
from streams.settings import Settings

_TIMES = [1_700_000_000_000 + number for number in range(5)]


@pytest.fixture
async def tansu(tmp_path: Path) -> AsyncIterator[Broker]:
    """The embedded broker, whose first partition of ``documents`` holds five records written as one batch."""
    async with embedded_broker("tansu", tmp_path) as address:
        broker = Broker(
            Settings(
                kafka=address.bootstrap,
                kafka_idempotence=address.idempotence,
                kafka_fetch_max_wait_ms=address.fetch_max_wait_ms,
                partitions=1,
            )
        )
        await broker.create_topics()
        async with broker.producer() as producer:
            batch = producer.create_batch()
            for number, time in enumerate(_TIMES):
                assert batch.append(key=b"k%d" % number, value=b"v", timestamp=time) is not None
            await (await producer.send_batch(batch, broker.topic(DOCUMENTS), partition=0))
        yield broker


async def test_every_record_of_the_last_batch_is_found(tansu: Broker) -> None:
    partition = TopicPartition(tansu.topic(DOCUMENTS), 0)
    for number, time in enumerate(_TIMES):
        known = StoredPosition(number + 1, time, b"k%d" % number)
        await check_log(tansu, "s", [partition], {partition: known})


@pytest.mark.parametrize(
    ("known", "says"),
    [
        (StoredPosition(5, _TIMES[4], b"other"), "another record"),
        (StoredPosition(5, _TIMES[3], b"k4"), "another record"),
        (StoredPosition(6, _TIMES[4], b"k4"), "ends at offset 5 but records up to 6"),
    ],
)
async def test_a_log_that_holds_something_else_is_refused(tansu: Broker, known: StoredPosition, says: str) -> None:
    partition = TopicPartition(tansu.topic(DOCUMENTS), 0)
    with pytest.raises(LogMismatchError, match=says):
        await check_log(tansu, "s", [partition], {partition: known})


async def test_a_fetch_tells_the_end_that_the_broker_does_not_name(tansu: Broker) -> None:
    topic = tansu.topic(DOCUMENTS)
    async with tansu.consumer() as consumer:
        # If this ever is 5, nobody needs to fetch.
        assert await end_offsets(consumer, topic) == {0: 1}
        for position in (0, 3, 5, 1):
            assert await fetched_ends(consumer, topic, {0: position}) == {0: 5}
        assert await fetched_ends(consumer, topic, {}) == {}
