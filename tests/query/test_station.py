"""Topics → view on a real broker and a real database: once, exactly, and again from nothing."""

import asyncio
from dataclasses import replace
from datetime import date, timedelta

import orjson
from aiokafka import ConsumerRecord, TopicPartition

from schemas.events.notification import DeliveryRecord
from schemas.events.trigger import RunStatus, TriggerResult
from schemas.ids import execution_id
from schemas.topics import (
    ALERT_RESULTS,
    DEAD_LETTERS,
    MATCH_PROGRESS,
    NOTIFICATIONS,
    RETRIEVER_EXECUTIONS,
    TRIGGER_RESULTS,
)
from streams.query.partitions import ensure_days, stored_days
from streams.query.station import NAME, ViewWriter
from streams.runtime.agent import Context
from streams.runtime.broker import Broker, Sends
from streams.runtime.database import Advance, advance_positions, stored_positions
from streams.runtime.failure import PositionLostError
from streams.runtime.loop import DeadLetters
from tests.query.support import (
    NAMESPACE,
    NOON,
    VIEW_TABLES,
    apply,
    define_alert,
    drained,
    hit,
    keyed,
    progress,
    publish,
    result,
    run_record,
    running,
    table,
    view,
)


def fired(revision: int, status: RunStatus) -> TriggerResult:
    return TriggerResult(
        job_id="job_1",
        trigger_id="trig_1",
        namespace_id=NAMESPACE,
        family="trigger",
        action_type="cluster",
        status=status,
        revision=revision,
        nominal_at=NOON,
        triggered_at=NOON,
        reason="10 documents were added",
        num_documents=revision,
    )


def attempt(number: int, status: str) -> DeliveryRecord:
    return DeliveryRecord.model_validate(
        {
            "namespace_id": NAMESPACE,
            "alert_id": "alt_a",
            "execution_id": "exec_1",
            "channel_index": 0,
            "channel_type": "webhook",
            "status": status,
            "attempt": number,
            "at": NOON + timedelta(seconds=number),
        }
    )


async def test_every_topic_reaches_the_view_once_and_a_rebuild_gives_the_same(context: Context) -> None:
    first, second = await define_alert(context, "a"), await define_alert(context, "b")
    yesterday = NOON - timedelta(days=1)
    plain = [result(n, hit(first), hit(second), at=NOON + timedelta(seconds=n)) for n in range(20)]
    old = [result(100 + n, hit(second), at=yesterday) for n in range(5)]
    # The producer said the same thing on two days: another record, another position, one execution.
    said = result(200, hit(first), at=yesterday, event_id="e")
    said_again = replace(said, source_offset=201, appended_at=NOON)
    runs = run_record([])
    async with running(context):
        await publish(context, ALERT_RESULTS, keyed(*plain, *old, said))
        await drained(context)
        await publish(context, ALERT_RESULTS, keyed(*plain[::-1], said_again, *old))
        await publish(context, RETRIEVER_EXECUTIONS, [(runs.key, runs.encode())] * 2)
        checks = [progress(3, next_offset=30), progress(2, next_offset=20), progress(1, partition=1)]
        await publish(context, MATCH_PROGRESS, [(item.key, item.encode()) for item in checks])
        history = [fired(1, "pending"), fired(3, "completed"), fired(2, "processing")]
        await publish(context, TRIGGER_RESULTS, [(item.key, item.encode()) for item in history])
        attempts = [attempt(1, "deferred"), attempt(3, "delivered"), attempt(2, "deferred")]
        await publish(context, NOTIFICATIONS, [(item.key, item.encode()) for item in attempts])
        await drained(context)
        before = await view(context)

        assert len(before["alert_executions"]) == 46
        assert len(before["result_documents"]) == 26
        assert await counts(context) == {"alt_a": 21, "alt_b": 25}
        assert [row[3] for row in before["match_progress"]] == ["30", "10"]
        assert [(row[5], row[6]) for row in before["trigger_executions"]] == [("completed", "3")]
        assert [(row[4], row[5]) for row in before["delivery_status"]] == [("delivered", "3")]
        assert len(before["retriever_executions"]) == 1

    async with context.database.connection() as connection:
        await connection.execute(f"TRUNCATE {', '.join(VIEW_TABLES)}".encode())
        await connection.execute("DELETE FROM positions WHERE station = %s", (NAME,))
    async with running(context):
        await drained(context)
        assert await view(context) == before


async def counts(context: Context) -> dict[str, int]:
    return {row[1]: int(row[2]) for row in await table(context, "alert_execution_counts")}


async def test_a_repeat_of_an_event_adds_only_new_executions_and_puts_them_with_the_first(
    context: Context,
) -> None:
    first, second = await define_alert(context, "a"), await define_alert(context, "b")
    await apply(context, ALERT_RESULTS, *(value for _, value in keyed(result(1, hit(first), event_id="e"))))
    later = result(9, hit(first), hit(second), at=NOON + timedelta(days=3), event_id="e")
    await apply(context, ALERT_RESULTS, *(value for _, value in keyed(later, later)))
    rows = await table(context, "alert_executions")
    assert sorted((row[0], row[4]) for row in rows) == [("2024-05-01", "alt_a"), ("2024-05-01", "alt_b")]
    assert len({row[7] for row in rows}) == 1
    assert [row[4] for row in await table(context, "result_documents")] == ["doc_1"]
    assert await counts(context) == {"alt_a": 1, "alt_b": 1}


async def test_two_workers_with_the_same_event_on_two_days_keep_one(context: Context) -> None:
    alert = await define_alert(context, "a")
    pairs = [
        [result(n, hit(alert), at=NOON + timedelta(days=day), event_id=f"e{n}") for n in range(40)]
        for day in range(4)
    ]
    await asyncio.gather(
        *(
            apply(context, ALERT_RESULTS, *(value for _, value in keyed(*chunk[:: 1 if day % 2 else -1])))
            for day, chunk in enumerate(pairs)
        )
    )
    assert await counts(context) == {"alt_a": 40}
    assert len(await table(context, "alert_executions")) == len(await table(context, "result_documents")) == 40


async def test_workers_that_meet_new_days_together_make_each_once(context: Context) -> None:
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(12)]

    async def make(wanted: list[date]) -> None:
        async with context.database.transaction() as connection:
            await ensure_days(connection, wanted)

    await asyncio.gather(make(days[:8]), make(days[4:]), make(days[::-1]), make(days))
    async with context.database.connection() as connection:
        assert await stored_days(connection) == days[::-1]


async def test_bad_records_become_dead_letters_and_the_rest_goes_on(context: Context) -> None:
    alert = await define_alert(context, "a")
    good = keyed(result(1, hit(alert)), result(2, hit(alert)))
    foreign = orjson.loads(good[0][1])
    foreign["executions"][0]["execution_id"] = execution_id(b"x" * 12, 1)
    bad = [(good[0][0], b"not json"), (good[0][0], None), (good[0][0], orjson.dumps(foreign))]
    nul = keyed(replace(result(3, hit(alert)), document_id="a\x00b"))
    async with running(context):
        await publish(context, ALERT_RESULTS, [good[0], *bad, *nul, good[1]])
        await drained(context)
    assert await counts(context) == {"alt_a": 2}
    letters = await everything(context.broker, context.broker.topic(DEAD_LETTERS), 4)
    assert sorted(value or b"" for _, value in letters) == sorted(value or b"" for _, value in [*bad, *nul])
    assert all(headers["x-dead-stage"] == b"query" for headers, _ in letters)


async def everything(broker: Broker, topic: str, expected: int) -> list[tuple[dict[str, bytes], bytes | None]]:
    consumer = broker.consumer()
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or range(3)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: list[tuple[dict[str, bytes], bytes | None]] = []
        async with asyncio.timeout(20):
            while len(found) < expected:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += [(dict(record.headers), record.value) for record in records]
        return found
    finally:
        await consumer.stop()


async def test_a_worker_that_lost_its_partition_writes_nothing(context: Context) -> None:
    alert = await define_alert(context, "a")
    topic = context.broker.topic(ALERT_RESULTS)
    await publish(context, ALERT_RESULTS, keyed(result(1, hit(alert))))
    consumer = context.broker.consumer()
    producer = context.broker.producer()
    await consumer.start()
    await producer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(3)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        writer = ViewWriter(context, DeadLetters(context.broker, producer, NAME))
        assert await writer.start_offsets(partitions) == dict.fromkeys(partitions, 0)
        batch = await consumer.getmany(timeout_ms=10_000)
        (partition,) = batch
        async with context.database.transaction() as connection:
            await advance_positions(connection, NAME, [Advance(partition, 0, 1, 0, None)])
        try:
            await writer.handle(batch)
        except PositionLostError:
            pass
        else:
            raise AssertionError("the batch of a lost partition was written")
        assert not await table(context, "alert_executions")
        assert not await counts(context)
    finally:
        await producer.stop()
        await consumer.stop()


async def test_a_batch_handed_over_again_in_smaller_pieces_moves_nothing_back(context: Context) -> None:
    alert = await define_alert(context, "a")
    topic = context.broker.topic(ALERT_RESULTS)
    async with context.broker.producer() as producer, context.broker.consumer() as consumer:
        partition = TopicPartition(topic, 0)
        sends = Sends(producer)
        for key, value in keyed(*(result(number, hit(alert)) for number in range(4))):
            await sends.send(topic, key, value, [], 0)
        await sends.acknowledged()
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        records: list[ConsumerRecord] = []
        while len(records) < 4:
            records += (await consumer.getmany(timeout_ms=1_000)).get(partition, [])
        writer = ViewWriter(context, DeadLetters(context.broker, producer, NAME))
        await writer.start_offsets([partition])
        await writer.handle({partition: records[:3]})
        # Kafka did not take the commit: the loop goes back to the first record and polls less this time.
        await writer.handle({partition: records[:2]})
        async with context.database.connection() as connection:
            assert (await stored_positions(connection, NAME, topic))[0].next_offset == 3
        await writer.handle({partition: records[1:]})
        async with context.database.connection() as connection:
            assert (await stored_positions(connection, NAME, topic))[0].next_offset == 4
    assert await counts(context) == {"alt_a": 4}
