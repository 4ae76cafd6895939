"""Few results are written by one statement, many by COPY: the same rows either way."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from aiokafka import TopicPartition
from psycopg import AsyncConnection

from schemas.events.alert_result import AlertResultRecord, Found, encode_alert_result
from schemas.events.notification import DeliveryRecord
from schemas.events.trigger import TriggerResult
from schemas.topics import ALERT_RESULTS, MATCH_PROGRESS, NOTIFICATIONS, RETRIEVER_EXECUTIONS, TRIGGER_RESULTS
from streams.query.few import FEW, NotAsExpected, are_few, write_few
from streams.query.partitions import DROP_LOCK
from streams.query.results import ResultReader
from streams.query.rows import Rows
from streams.query.station import NAME
from streams.query.store import write
from streams.query.waking import CHANNEL
from streams.runtime.agent import Context
from streams.runtime.database import Advance, advance_positions, fetch_value, stored_positions
from tests.query.support import (
    NAMESPACE,
    NOON,
    VIEW_TABLES,
    define_alert,
    drained,
    hit,
    progress,
    publish,
    result,
    run_record,
    running,
    view,
)

PARTITION = TopicPartition("results", 0)
BEGUN = Advance(PARTITION, 0, 5, 1_000, b"k")
MOVE = Advance(PARTITION, 5, 9, 2_000, None)


def rows(*records: AlertResultRecord, through: int | None = None) -> Rows:
    """What these records, from the beginning of partition 0, add to the view."""
    found = Rows(ResultReader())
    for offset, record in enumerate(records):
        found.add(ALERT_RESULTS.name, encode_alert_result(record), 0, offset)
    if through is not None:
        found.add(MATCH_PROGRESS.name, progress(1, next_offset=through).encode())
    return found


def delivered(attempt: int, channel: int = 0) -> bytes:
    return DeliveryRecord(
        namespace_id=NAMESPACE,
        alert_id="alt_a",
        execution_id="exec_1",
        channel_index=channel,
        channel_type="webhook",
        status="delivered",
        attempt=attempt,
        at=NOON,
    ).encode()


def fired(revision: int, job_id: str = "job_1") -> bytes:
    return TriggerResult(
        job_id=job_id,
        trigger_id="trig_1",
        namespace_id=NAMESPACE,
        family="trigger",
        action_type="cluster",
        status="completed",
        revision=revision,
        nominal_at=NOON,
        triggered_at=NOON,
        reason="cron",
        fired_by="schedule",
    ).encode()


async def begin(context: Context, *before: AlertResultRecord) -> None:
    """An empty view but for these records, and the station where :data:`MOVE` expects it."""
    async with context.database.transaction() as connection:
        await connection.execute(f"TRUNCATE positions, {', '.join(VIEW_TABLES)}".encode())
        await advance_positions(connection, NAME, [BEGUN])
        await write(connection, rows(*before))


async def copied(context: Context, found: Rows, moves: Sequence[Advance] = (MOVE,)) -> None:
    async with context.database.transaction() as connection:
        await advance_positions(connection, NAME, moves)
        await write(connection, found)


async def stated(context: Context, found: Rows, moves: Sequence[Advance] = (MOVE,)) -> None:
    async with context.database.connection() as connection:
        await write_few(connection, NAME, moves, found)


async def totals(context: Context) -> list[tuple[str, ...]]:
    """Of lists of runs."""
    async with context.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT list, facets::text, sum(n)::text FROM list_counts WHERE list LIKE '%execution' GROUP BY 1, 2"
            " HAVING sum(n) <> 0 ORDER BY 1, 2"
        )
        return await cursor.fetchall()


async def stands_at(context: Context) -> int:
    async with context.database.connection() as connection:
        return (await stored_positions(connection, NAME, PARTITION.topic))[0].next_offset


async def test_both_ways_write_the_same_rows(context: Context) -> None:
    first, second = await define_alert(context, "a"), await define_alert(context, "b")
    looked_up = replace(hit(first), matched_features=None, found=Found(1, [{"document_id": "r"}], {"0": 3}))
    records = [
        result(1, hit(first), hit(second, 0.25), document={"document_id": "doc_1", "emoji": "é☃", "none": None}),
        result(2, replace(hit(second), matched_features=None, reason=""), at=NOON + timedelta(hours=1)),
        result(3, looked_up, replace(hit(second), triggered=False)),
    ]
    found, listed = [], []
    for writer in (copied, stated):
        await begin(context, result(9, hit(first), at=NOON - timedelta(hours=1)))
        batch = rows(*records, through=12)
        batch.add(RETRIEVER_EXECUTIONS.name, run_record([{"document_id": "doc_1"}]).encode())
        for name, values in (
            (NOTIFICATIONS.name, [delivered(1), delivered(2, channel=1)]),
            (TRIGGER_RESULTS.name, [fired(1), fired(2, "job_0")]),
        ):
            for value in values:
                batch.add(name, value)
        assert are_few(batch)
        await writer(context, batch)
        assert await stands_at(context) == MOVE.next_offset
        found.append(await view(context))
        listed.append(await totals(context))
    assert found[0] == found[1]
    assert listed[0] == listed[1] != []
    counted = {name: len(stored) for name, stored in found[0].items()}
    assert counted == {
        "result_documents": 4,
        "alert_executions": 6,
        "result_bases": 0,
        "result_additions": 0,
        "alert_execution_counts": 2,
        "match_progress": 1,
        "trigger_executions": 2,
        "retriever_executions": 1,
        "delivery_status": 2,
    }


async def test_what_is_there_is_changed_as_by_copy(context: Context) -> None:
    found = []
    for writer in (copied, stated):
        await begin(context)
        for at, (revision, attempt, offset) in enumerate([(2, 2, 20), (1, 1, 10), (3, 3, 30)]):
            batch = rows(through=offset)
            batch.add(TRIGGER_RESULTS.name, fired(revision))
            batch.add(NOTIFICATIONS.name, delivered(attempt))
            batch.add(RETRIEVER_EXECUTIONS.name, run_record([{"document_id": f"doc_{at}"}]).encode())
            await writer(context, batch, [Advance(PARTITION, 5 + at, 6 + at, 2_000, None)])
        found.append(await view(context))
    assert found[0] == found[1]
    assert "30" in found[0]["match_progress"][0]


@asynccontextmanager
async def dropping(context: Context) -> AsyncIterator[None]:
    """While another drops days."""
    async with context.database.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (DROP_LOCK,))
        yield


async def test_what_is_not_as_expected_is_refused(context: Context) -> None:
    alert = await define_alert(context, "a")
    await begin(context, result(1, hit(alert)))
    held = await view(context)
    elsewhere = Advance(PARTITION, 4, 9, 2_000, None)
    unknown = Advance(TopicPartition("results", 1), 0, 9, 2_000, None)
    for batch, moves in (
        (rows(result(1, hit(alert))), [MOVE]),
        (rows(result(2, hit(alert), at=NOON + timedelta(days=1))), [MOVE]),
        (rows(result(2, hit(alert))), [elsewhere]),
        (rows(result(2, hit(alert))), [MOVE, unknown]),
        (rows(through=3), [elsewhere]),
    ):
        with pytest.raises(NotAsExpected):
            await stated(context, batch, moves)
        assert await view(context) == held
        assert await stands_at(context) == MOVE.expected
    async with dropping(context):
        with pytest.raises(NotAsExpected):
            await stated(context, rows(result(2, hit(alert))))
    assert await view(context) == held
    await stated(context, rows(result(2, hit(alert))))
    assert await stands_at(context) == MOVE.next_offset


async def test_which_batches_are_few(context: Context) -> None:
    alert = await define_alert(context, "a")
    assert are_few(rows(through=1))
    assert are_few(rows(*(result(n, hit(alert)) for n in range(FEW // 4))))
    assert not are_few(rows(*(result(n, hit(alert)) for n in range(FEW // 4 + 1))))
    assert not are_few(rows(result(1, hit(alert), event_id="e")))
    told = Rows()
    for attempt in (1, 2):
        told.add(NOTIFICATIONS.name, delivered(attempt))
    assert not are_few(told)
    told = Rows()
    for revision in (1, 2):
        told.add(TRIGGER_RESULTS.name, fired(revision))
    assert not are_few(told)


async def test_streams_are_woken_by_results_and_by_nothing_else(context: Context) -> None:
    alert = await define_alert(context, "a")
    await begin(context, result(9, hit(alert)))
    async with await AsyncConnection.connect(context.settings.database, autocommit=True) as listening:
        await listening.execute(f"LISTEN {CHANNEL}".encode())
        await stated(context, rows(through=3))
        assert [one async for one in listening.notifies(timeout=0)] == []
        await stated(context, rows(result(1, hit(alert))), [Advance(PARTITION, 9, 10, 2_000, None)])
        assert [one.channel async for one in listening.notifies(timeout=10, stop_after=1)] == [CHANNEL]


async def test_what_is_refused_leaves_nothing_with_the_server(context: Context) -> None:
    alert = await define_alert(context, "a")
    await begin(context, result(1, hit(alert)))
    async with context.database.connection() as connection:
        for _ in range(10):
            with pytest.raises(NotAsExpected):
                await write_few(connection, NAME, [MOVE], rows(result(1, hit(alert))))
        assert await fetch_value(connection, "SELECT count(*) FROM pg_prepared_statements") == 0


async def test_batches_that_differ_only_in_values_are_one_statement(context: Context) -> None:
    await begin(context)
    at = MOVE.expected
    async with context.database.connection() as connection:
        for step in (1, 40_000, 3_000_000_000, *range(1, 20)):
            key = b"k" if step % 2 else None
            batch = rows(through=at)
            batch.add(TRIGGER_RESULTS.name, fired(min(step, 9)))
            await write_few(connection, NAME, [Advance(PARTITION, at, at + step, step, key)], batch)
            at += step
        assert await fetch_value(connection, "SELECT count(*) FROM pg_prepared_statements") == 1


async def test_the_station_writes_small_batches_so(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    alert = await define_alert(context, "a")

    async def never(*_: object) -> None:
        raise AssertionError("written as any batch is")

    async with running(context):
        # The first batch of a partition has no position to move, and a day no table.
        await publish(context, ALERT_RESULTS, [(b"one", encode_alert_result(result(1, hit(alert))))])
        await drained(context)
        monkeypatch.setattr("streams.query.station.write", never)
        await publish(context, ALERT_RESULTS, [(b"one", encode_alert_result(result(2, hit(alert))))])
        await drained(context)
    assert len((await view(context))["alert_executions"]) == 2


async def test_the_commit_of_few_does_not_wait_for_the_disk(context: Context) -> None:
    await begin(context, result(100))
    waiting = 0
    async with context.database.connection() as connection:
        await connection.execute("SET synchronous_commit = on")
        for number in range(20):
            move = Advance(PARTITION, 5 + number, 6 + number, 2_000, None)
            await write_few(connection, NAME, [move], rows(result(number)))
            waiting += await fetch_value(
                connection, "SELECT (pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn())::int"
            )
        assert await fetch_value(connection, "SHOW synchronous_commit") == "on", "that is for one statement"
    # What writes the log may come in between now and then.
    assert waiting > 10
