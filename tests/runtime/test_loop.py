"""The loop of every document station, on the run's broker: what is committed, redelivered and stopped."""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaConnectionError

from schemas.topics import DEAD_LETTERS, DOCUMENTS, Topic
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.commits import Last
from streams.runtime.failure import LogMismatchError
from streams.runtime.loop import Batch, DeadLetters, StationLoop
from streams.settings import Settings
from tests.support import TestBroker, eventually


class Recorder:
    """A handler that remembers every value and does what ``on_batch`` says."""

    topics: tuple[Topic, ...] = (DOCUMENTS,)

    def __init__(self, name: str = "recorder") -> None:
        self.name = name
        self.values: list[bytes] = []
        self.on_batch: Callable[[list[bytes]], None] = lambda _: None
        self.begin_at: dict[int, int] = {}
        self.hold: asyncio.Event | None = None
        self.assignments = 0

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.assignments += 1
        return {tp: self.begin_at[tp.partition] for tp in partitions if tp.partition in self.begin_at}

    async def handle(self, batch: Batch) -> None:
        values = [record.value for records in batch.values() for record in records]
        self.on_batch(values)
        if self.hold is not None:
            await self.hold.wait()
        self.values.extend(values)


@pytest.fixture
async def producer(context: Context) -> AsyncIterator[AIOKafkaProducer]:
    producer = context.broker.producer()
    await producer.start()
    yield producer
    await producer.stop()


async def publish(context: Context, producer: AIOKafkaProducer, values: Sequence[bytes]) -> None:
    for value in values:
        await producer.send_and_wait(context.broker.topic(DOCUMENTS), value, key=value)


@contextlib.asynccontextmanager
async def running(
    context: Context, *handlers: Recorder, poll_ms: int = 50
) -> AsyncIterator[list[asyncio.Task[None]]]:
    loops = [StationLoop(context.broker, handler, batch_records=100, poll_ms=poll_ms) for handler in handlers]
    tasks = [asyncio.create_task(loop.run()) for loop in loops]
    try:
        yield tasks
    finally:
        for loop in loops:
            loop.stop()
        await asyncio.gather(*tasks, return_exceptions=True)


NUMBERS = [str(number).encode() for number in range(60)]


async def test_everything_is_handled_and_a_second_run_begins_after_it(
    context: Context, producer: AIOKafkaProducer
) -> None:
    await publish(context, producer, NUMBERS)
    first = Recorder()
    async with running(context, first):
        await eventually(lambda: _done(first, 60))
    await publish(context, producer, [b"later"])
    second = Recorder()
    async with running(context, second):
        await eventually(lambda: _done(second, 1))
    assert sorted(first.values) == sorted(NUMBERS)
    assert second.values == [b"later"]


async def _done(recorder: Recorder, count: int) -> bool:
    return len(recorder.values) >= count


@contextlib.asynccontextmanager
async def watched(context: Context, recorder: Recorder) -> AsyncIterator[list[tuple[int, bool]]]:
    """A loop that runs; of each batch how large it was, and whether nothing was fetched while it was handled."""
    loop = StationLoop(context.broker, recorder, batch_records=100, poll_ms=50)
    seen: list[tuple[int, bool]] = []

    def note(values: list[bytes]) -> None:
        consumer = loop._consumer
        seen.append((len(values), consumer.paused() == consumer.assignment()))

    recorder.on_batch = note
    task = asyncio.create_task(loop.run())
    try:
        yield seen
    finally:
        loop.stop()
        await task


async def test_what_comes_while_a_batch_is_handled_is_fetched_at_once_for_the_next(
    context: Context, producer: AIOKafkaProducer
) -> None:
    recorder = Recorder()
    recorder.hold = asyncio.Event()
    async with watched(context, recorder) as seen:
        await publish(context, producer, NUMBERS[:1])
        await eventually(lambda: _seen(seen, 1))
        await publish(context, producer, NUMBERS[1:])
        recorder.hold.set()
        await eventually(lambda: _done(recorder, len(NUMBERS)))
    assert seen == [(1, True), (len(NUMBERS) - 1, True)]


async def test_while_more_is_known_to_wait_it_is_fetched_ahead_and_comes_in_order(
    context: Context, producer: AIOKafkaProducer
) -> None:
    many = [str(number).encode() for number in range(350)]
    topic = context.broker.topic(DOCUMENTS)
    for value in many:
        await producer.send(topic, value, partition=0)
    await producer.flush()
    recorder = Recorder()
    async with watched(context, recorder) as seen:
        await eventually(lambda: _done(recorder, len(many)))
        await producer.send_and_wait(topic, b"one more", partition=0)
        await eventually(lambda: _done(recorder, len(many) + 1))
    assert recorder.values == [*many, b"one more"]
    assert seen == [(100, False), (100, False), (100, False), (50, True), (1, True)]


async def test_more_that_waits_is_known_by_where_the_log_ends(
    context: Context, producer: AIOKafkaProducer
) -> None:
    # What one fetch brings is bounded by its bytes; a batch of such records is not full, and more waits.
    topic = context.broker.topic(DOCUMENTS)
    large = [str(number).encode() * 300_000 for number in range(1, 9)]
    for value in large:
        await producer.send_and_wait(topic, os.urandom(600_000) + value[:8], partition=0)
    recorder = Recorder()
    async with watched(context, recorder) as seen:
        await eventually(lambda: _done(recorder, len(large)))
    assert [value[-8:] for value in recorder.values] == [value[:8] for value in large]
    assert [paused for _, paused in seen] == [False] * (len(seen) - 1) + [True]
    assert len(seen) > 1


async def _seen(seen: Sequence[object], count: int) -> bool:
    return len(seen) >= count


async def test_records_of_an_assignment_that_came_during_a_poll_are_not_lost(
    context: Context, producer: AIOKafkaProducer
) -> None:
    first, second = Recorder(), Recorder()
    # A long poll: it begins under one assignment and ends with records of the next.
    async with running(context, first, poll_ms=10_000):
        await eventually(lambda: _assigned(first, 1))
        async with running(context, second):
            await eventually(lambda: _assigned(first, 2), timeout=40)
            await publish(context, producer, NUMBERS)

            async def all_there() -> bool:
                return len(first.values) + len(second.values) >= 60

            await eventually(all_there, timeout=30)
    assert sorted(first.values + second.values) == sorted(NUMBERS)


async def _assigned(recorder: Recorder, times: int) -> bool:
    return recorder.assignments >= times


async def test_a_transient_failure_repeats_the_batch(context: Context, producer: AIOKafkaProducer) -> None:
    await publish(context, producer, NUMBERS)
    recorder = Recorder()
    failures = iter([KafkaConnectionError("away"), ConnectionResetError("gone")])

    def fail(_: list[bytes]) -> None:
        for error in failures:
            raise error

    recorder.on_batch = fail
    async with running(context, recorder):
        await eventually(lambda: _done(recorder, 60))
    assert sorted(recorder.values) == sorted(NUMBERS)


@pytest.mark.parametrize("error", [ValueError("a bug"), LogMismatchError("another log")])
async def test_our_own_bug_stops_the_loop_without_a_commit(
    context: Context, producer: AIOKafkaProducer, error: Exception
) -> None:
    await publish(context, producer, NUMBERS[:5])
    broken = Recorder()

    def fail(_: list[bytes]) -> None:
        raise error

    broken.on_batch = fail
    async with running(context, broken) as (task,):
        with pytest.raises(type(error)):
            await asyncio.wait_for(asyncio.shield(task), 20)
    again = Recorder()
    async with running(context, again):
        await eventually(lambda: _done(again, 5))
    assert sorted(again.values) == sorted(NUMBERS[:5])


async def test_a_station_with_its_own_positions_begins_there(context: Context, producer: AIOKafkaProducer) -> None:
    topic = context.broker.topic(DOCUMENTS)
    for number in range(6):
        await producer.send_and_wait(topic, str(number).encode(), partition=0)
    recorder = Recorder()
    recorder.begin_at = {0: 4}
    async with running(context, recorder):
        await eventually(lambda: _done(recorder, 2))
    assert recorder.values == [b"4", b"5"]


async def test_a_second_member_neither_loses_nor_doubles(context: Context, producer: AIOKafkaProducer) -> None:
    first, second = Recorder(), Recorder()
    async with running(context, first):
        await publish(context, producer, NUMBERS[:30])
        await eventually(lambda: _done(first, 30))
        # The batch in hand when the second member joins is finished and committed before its partition moves.
        first.hold = asyncio.Event()
        await publish(context, producer, NUMBERS[30:45])
        async with running(context, second):
            await asyncio.sleep(0)
            first.hold.set()
            await publish(context, producer, NUMBERS[45:])

            async def all_there() -> bool:
                return len(first.values) + len(second.values) >= 60

            await eventually(all_there, timeout=40)
    assert sorted(first.values + second.values) == sorted(NUMBERS)


class Settler(Recorder):
    """A recorder that has something left to do for batches before they are committed."""

    def __init__(self) -> None:
        super().__init__()
        self.settled: list[Last] = []
        self.may_settle = asyncio.Event()
        self.failures: list[Exception] = []

    async def settle(self, last: Last) -> None:
        self.settled.append(last)
        await self.may_settle.wait()
        if self.failures:
            raise self.failures.pop(0)

    def reached(self) -> int:
        """How many records lie before those that were settled last."""
        return sum(
            record.offset + 1 for record in {tp: r for last in self.settled for tp, r in last.items()}.values()
        )


async def test_the_next_batch_does_not_wait_for_a_commit_and_a_rebalance_does(
    context: Context, producer: AIOKafkaProducer
) -> None:
    first, second = Settler(), Recorder()
    async with running(context, first):
        await publish(context, producer, NUMBERS[:20])
        await eventually(lambda: _done(first, 20))
        await publish(context, producer, NUMBERS[20:40])
        await eventually(lambda: _done(first, 40))
        # The first is still under way, and nothing is committed.
        assert len(first.settled) == 1
        assert await committed(context) == 0
        async with running(context, second):
            await asyncio.sleep(0)
            first.may_settle.set()
            await publish(context, producer, NUMBERS[40:])

            async def all_there() -> bool:
                return len(first.values) + len(second.values) >= 60

            await eventually(all_there, timeout=40)
    assert sorted(first.values + second.values) == sorted(NUMBERS)
    assert first.reached() >= 40
    assert await committed(context) == 60


async def test_what_settling_failed_with_is_tried_again_with_all_there_is(
    context: Context, producer: AIOKafkaProducer
) -> None:
    recorder = Settler()
    recorder.failures = [KafkaConnectionError("away"), ConnectionResetError("gone")]
    async with running(context, recorder):
        await publish(context, producer, NUMBERS[:20])
        await eventually(lambda: _done(recorder, 20))
        await publish(context, producer, NUMBERS[20:])
        recorder.may_settle.set()
        await eventually(lambda: _done(recorder, 60))

        async def all_committed() -> bool:
            return await committed(context) == 60

        await eventually(all_committed)
    assert sorted(recorder.values) == sorted(NUMBERS)
    assert set(recorder.settled[0]) <= set(recorder.settled[1])


async def test_a_bug_in_settling_stops_the_loop_without_a_commit(
    context: Context, producer: AIOKafkaProducer
) -> None:
    await publish(context, producer, NUMBERS[:5])
    broken = Settler()
    broken.failures = [ValueError("a bug")]
    broken.may_settle.set()
    async with running(context, broken) as (task,):
        with pytest.raises(ValueError, match="a bug"):
            await asyncio.wait_for(asyncio.shield(task), 20)
    assert await committed(context) == 0


async def committed(context: Context) -> int:
    """How many records the group has committed."""
    admin = context.broker.admin()
    await admin.start()
    try:
        partitions = [
            TopicPartition(context.broker.topic(DOCUMENTS), number) for number in range(DOCUMENTS.partitions)
        ]
        offsets = await admin.list_consumer_group_offsets(context.broker.group("recorder"), partitions=partitions)
    finally:
        await admin.close()
    return sum(max(0, found.offset) for found in offsets.values())


async def test_a_dead_letter_keeps_bytes_and_headers(context: Context, producer: AIOKafkaProducer) -> None:
    topic = context.broker.topic(DOCUMENTS)
    sent = await producer.send_and_wait(topic, b"\xff{", key=b"\xfe", partition=1, headers=[("x-producer", b"p")])
    consumer = context.broker.consumer(DOCUMENTS)
    letters = context.broker.consumer(DEAD_LETTERS)
    await consumer.start()
    await letters.start()
    try:
        record = await asyncio.wait_for(consumer.getone(), 20)
        await DeadLetters(context.broker, producer, "match").put(record, ValueError("no good"), attempts=3)
        letter = await asyncio.wait_for(letters.getone(), 20)
    finally:
        await consumer.stop()
        await letters.stop()
    assert (letter.key, letter.value) == (b"\xfe", b"\xff{")
    headers = dict(letter.headers)
    assert headers["x-producer"] == b"p"
    assert headers["x-dead-topic"] == topic.encode()
    assert headers["x-dead-partition"] == b"1"
    assert headers["x-dead-offset"] == str(sent.offset).encode()
    assert headers["x-dead-message"] == b"no good"
    assert headers["x-dead-attempts"] == b"3"


@pytest.fixture
async def small_dead_letters(settings: Settings, real_kafka: TestBroker) -> None:
    """A ``dead-letters`` topic that takes no record of 100 kB. Made before the others: a changed configuration
    comes into force some time after the broker has answered."""
    broker = Broker(settings)
    admin = broker.admin()
    await admin.start()
    try:
        limit = {"max.message.bytes": "100000"}
        await admin.create_topics([NewTopic(broker.topic(DEAD_LETTERS), 1, 1, topic_configs=limit)])
    finally:
        await admin.close()


@pytest.mark.kafka
async def test_a_dead_letter_that_only_our_headers_make_too_large_is_cut(
    small_dead_letters: None, context: Context, producer: AIOKafkaProducer
) -> None:
    value = random.Random(1).randbytes(110_000)  # does not compress
    documents = context.broker.topic(DOCUMENTS)
    for body in (value, b"small"):
        await producer.send_and_wait(documents, body, key=b"k")
    records, letters = context.broker.consumer(DOCUMENTS), context.broker.consumer(DEAD_LETTERS)
    await records.start()
    await letters.start()
    try:
        dead_letters = DeadLetters(context.broker, producer, "match")
        for _ in range(2):
            await dead_letters.put(await asyncio.wait_for(records.getone(), 20), ValueError("no good"))
        cut, whole = [await asyncio.wait_for(letters.getone(), 20) for _ in range(2)]
    finally:
        await records.stop()
        await letters.stop()
    assert dict(cut.headers)["x-dead-truncated"] == b"110000"
    assert value.startswith(cut.value)
    assert len(cut.value) > 10_000
    assert (whole.value, dict(whole.headers)["x-dead-message"]) == (b"small", b"no good")


async def test_several_dead_letters_take_one_round_trip(context: Context, producer: AIOKafkaProducer) -> None:
    values = [b"\xff%d" % number for number in range(200)]
    await publish(context, producer, values)
    records = context.broker.consumer(DOCUMENTS)
    letters = context.broker.consumer(DEAD_LETTERS)
    await records.start()
    await letters.start()
    try:
        read = [await asyncio.wait_for(records.getone(), 20) for _ in values]
        before = requests(producer)
        await DeadLetters(context.broker, producer, "match").put_all(
            [(record, ValueError(f"no good: {record.offset}")) for record in read]
        )
        asked = requests(producer) - before
        found = [await asyncio.wait_for(letters.getone(), 20) for _ in values]
    finally:
        await records.stop()
        await letters.stop()
    assert 0 < asked < 20
    said = {letter.value: dict(letter.headers)["x-dead-message"] for letter in found}
    assert said == {record.value: b"no good: %d" % record.offset for record in read}


def requests(producer: AIOKafkaProducer) -> int:
    """How many requests a producer has made of its brokers."""
    return int(sum(connection._correlation_id for connection in producer.client._conns.values()))


@pytest.mark.kafka
async def test_of_several_dead_letters_only_what_is_too_large_is_cut(
    small_dead_letters: None, context: Context, producer: AIOKafkaProducer
) -> None:
    noise = random.Random(2)
    sizes = {b"a": 10, b"b": 110_000, b"c": 60_000, b"d": 120_000, b"e": 10}
    documents = context.broker.topic(DOCUMENTS)
    for key, size in sizes.items():
        await producer.send_and_wait(documents, noise.randbytes(size), key=key)
    records, letters = context.broker.consumer(DOCUMENTS), context.broker.consumer(DEAD_LETTERS)
    await records.start()
    await letters.start()
    try:
        dead_letters = DeadLetters(context.broker, producer, "match")
        read = [await asyncio.wait_for(records.getone(), 20) for _ in sizes]
        await dead_letters.put_all([(record, ValueError("no good")) for record in read])
        await dead_letters.put_all([(read[0], ValueError("again"))])
        found = [await asyncio.wait_for(letters.getone(), 20) for _ in range(len(sizes) + 1)]
    finally:
        await records.stop()
        await letters.stop()
    assert sorted(letter.key for letter in found) == sorted([*sizes, read[0].key])
    cut = {letter.key: dict(letter.headers).get("x-dead-truncated") for letter in found}
    assert cut == {b"a": None, b"b": b"110000", b"c": None, b"d": b"120000", b"e": None}
