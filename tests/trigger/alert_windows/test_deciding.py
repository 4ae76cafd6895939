"""Windows of alerts on processing time: contributions on a real broker, decisions on a clock the test moves."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from schemas.events.alert_result import AlertResultRecord, Contribution, decode_alert_result, encode_alert_result
from schemas.ids import ExecutionHasher
from schemas.topics import ALERT_RESULTS
from streams.engines.retrieval.execution.windowed import read_window
from streams.runtime.agent import Context
from streams.runtime.database import fetch_value
from streams.runtime.definitions import delete_definition, put_definition
from streams.trigger.alert_results.reading import AlertResults
from streams.trigger.alert_windows import store as window_store
from streams.trigger.alert_windows.deciding import FORGET_EVERY, AlertWindows
from streams.trigger.alert_windows.definitions import windowed_alerts
from streams.trigger.alert_windows.folding import fold
from tests.support import eventually
from tests.trigger.support import NAMESPACE, at

START = at("2024-03-25T12:00")
HASHER = ExecutionHasher("tests")
APPLICATION = {"alert_id": "alt_w", "execution_mode": "on_ingest", "input_mappings": []}
STAGES = [
    {
        "stage_name": "f",
        "config": {
            "stage_id": "attribute_filter",
            "parameters": {"field": "kind", "operator": "eq", "value": "x"},
        },
    }
]


async def define(context: Context, **alert: Any) -> str:
    """An alert on a collection; its series."""
    body = {"name": "w", "retriever_id": "ret_w", "window_seconds": 60, **alert}
    async with context.database.transaction() as connection:
        retriever = await put_definition(connection, "retriever", NAMESPACE, "ret_w", "w", {"stages": STAGES})
        await put_definition(connection, "alert", NAMESPACE, "alt_w", "w", body)
        collection = {"collection_name": "c", "alert_applications": [APPLICATION]}
        await put_definition(connection, "collection", NAMESPACE, "col_w", "c", collection)
    return read_window(retriever.body, body, APPLICATION, retriever.record.version.number).series


def adding(
    series: str,
    offset: int,
    moment: datetime,
    *,
    documents: int = 1,
    event_id: str | None = None,
    partition: int = 0,
) -> AlertResultRecord:
    """What match tells of a document."""
    return AlertResultRecord(
        base=HASHER.base(NAMESPACE, event_id, "documents", partition, offset),
        namespace_id=NAMESPACE,
        collection_id="col_w",
        document_id=f"d{partition}-{offset}",
        source_topic="documents",
        source_partition=partition,
        source_offset=offset,
        appended_at=moment,
        occurred_at=moment,
        executed_at=moment,
        duration_ms=0,
        definitions_version=1,
        hits=[],
        keyed=event_id is not None,
        contributions=[Contribution("alt_w", series, 1, "processing_time", documents)],
    )


@asynccontextmanager
async def windows(context: Context, count: int = 1) -> AsyncIterator[list[AlertWindows]]:
    """Stations that add up what is told."""
    # Event ids are forgotten by the clock.
    context = replace(context, clock=lambda: START)
    made = [AlertWindows(context, "trigger") for _ in range(count)]
    readers = [AlertResults(context, "trigger") for _ in range(count)]
    reading = [asyncio.create_task(one.run()) for one in readers]
    try:
        yield made
    finally:
        for one in readers:
            one.stop()
        await asyncio.gather(*reading)
        for deciding in made:
            await deciding.close()


async def tell(context: Context, records: Sequence[AlertResultRecord]) -> None:
    async with context.broker.producer() as producer:
        topic = context.broker.topic(ALERT_RESULTS)
        for record in records:
            await producer.send_and_wait(topic, encode_alert_result(record), partition=record.source_partition)


async def decided(context: Context) -> list[tuple[datetime, int, str]]:
    """Executions in the outbox: for when, on how many documents, and why."""
    async with context.database.connection() as connection:
        cursor = await connection.execute("SELECT value FROM outbox WHERE topic = 'alert-results' ORDER BY id")
        records = [decode_alert_result(bytes(row[0])) for row in await cursor.fetchall()]
    return [
        (record.occurred_at, hit.found.count, hit.reason)
        for record in records
        for hit in record.hits
        if hit.found is not None
    ]


async def until_decided(context: Context, stations: Sequence[AlertWindows], now: datetime, count: int) -> None:
    """Tick at ``now`` until so many executions are decided."""

    async def there() -> bool:
        await asyncio.gather(*(station.tick(now) for station in stations))
        return len(await decided(context)) >= count

    await eventually(there, every=0.05, what=f"{count} executions are decided")


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


async def test_matches_are_counted_once_by_several_stations(context: Context) -> None:
    series = await define(context, min_count=3)
    told = [adding(series, number, after(number * 20), partition=number % 3) for number in range(3)]
    async with windows(context, 2) as stations:
        # Match tells it again after a crash, and a producer sends one of the documents again.
        await tell(context, [*told, *told])
        await until_decided(context, stations, after(120), 1)
        for second in (121, 125, 300):
            await asyncio.gather(*(station.tick(after(second)) for station in stations))
    ((moment, count, reason),) = await decided(context)
    assert (moment, count) == (after(41), 3)
    assert reason.startswith("3 matches in 60 s, at least 3 wanted; the condition began to hold")


async def test_a_repeat_with_an_event_id_is_no_second_match(context: Context) -> None:
    series = await define(context, min_count=2)
    async with windows(context) as stations:
        await tell(
            context,
            [
                adding(series, 0, after(0), event_id="e"),
                adding(series, 5, after(10), event_id="e", partition=1),
                adding(series, 7, after(200), event_id="f", partition=1),
                adding(series, 8, after(210), event_id="g", partition=1),
            ],
        )
        await until_decided(context, stations, after(400), 1)
    assert [(moment, count) for moment, count, _ in await decided(context)] == [(after(211), 2)]


async def test_silence_is_told_by_the_clock_where_nothing_ever_comes(context: Context) -> None:
    await define(context, trigger_on="no_results", window_seconds=3_600)
    async with windows(context) as stations:
        await stations[0].tick(START)
        await stations[0].tick(after(3_000))
        assert await decided(context) == []
        # What may still be on its way is waited for.
        await until_decided(context, stations, after(3_603), 1)
        await stations[0].tick(after(90_000))
    ((moment, count, _),) = await decided(context)
    assert (moment, count) == (after(3_600), 0)


async def test_another_question_begins_anew(context: Context) -> None:
    series = await define(context, min_count=3)
    async with windows(context) as stations:
        await tell(context, [adding(series, number, after(number)) for number in range(2)])
        await stations[0].tick(after(10))
        other = await define(context, min_count=2, inputs={"a": 1})
        assert other != series
        await tell(context, [adding(other, 2, after(20)), adding(series, 3, after(21))])
        await tell(context, [adding(other, 4, after(30))])
        await until_decided(context, stations, after(100), 1)
    assert [(moment, count) for moment, count, _ in await decided(context)] == [(after(31), 2)]


async def test_what_is_told_of_an_old_question_later_is_forgotten(context: Context) -> None:
    """Match may be behind when an alert changes; or ahead, and tell of a question that is not known here yet."""
    old = await define(context, window_seconds=864_000, min_count=3)
    new = await define(context, window_seconds=864_000, min_count=3, inputs={"a": 1})
    station = AlertWindows(context, "trigger")
    await station.tick(START)
    told = [adding(old, 0, after(0)), adding(new, 1, after(1)), adding("unknown", 2, after(2))]
    async with context.database.transaction() as connection:
        await window_store.add(connection, fold(told, frozenset()))
    for turn in (1, 2):
        assert await series_told(context) == {old, new, "unknown"}
        await station.tick(START + turn * FORGET_EVERY)
    assert await series_told(context) == {new}
    await station.close()


async def series_told(context: Context) -> set[str]:
    async with context.database.connection() as connection:
        cursor = await connection.execute("SELECT series FROM alert_window_buckets")
        return {row[0] for row in await cursor.fetchall()}


async def test_what_is_gone_is_forgotten(context: Context) -> None:
    series = await define(context, min_count=2)
    async with windows(context) as stations:
        await tell(context, [adding(series, 0, after(0)), adding(series, 1, after(1))])
        await until_decided(context, stations, after(100), 1)
        async with context.database.transaction() as connection:
            await delete_definition(connection, "alert", NAMESPACE, "alt_w")
        await stations[0].tick(after(200))
    async with context.database.connection() as connection:
        for table in ("alert_windows", "alert_window_buckets", "alert_window_begun"):
            assert await fetch_value(connection, f"SELECT count(*) FROM {table}") == 0


async def test_what_is_told_of_a_deleted_alert_is_forgotten(context: Context) -> None:
    """Match may be behind when an alert is deleted, and tell of it when nobody decides it any more."""
    series = await define(context)
    async with context.database.transaction() as connection:
        await delete_definition(connection, "alert", NAMESPACE, "alt_w")
    async with windows(context) as stations:
        await stations[0].tick(after(0))
        await tell(context, [adding(series, 0, after(0)), adding(series, 1, after(1), documents=0)])

        async def read() -> bool:
            async with context.database.connection() as connection:
                offset: object = await fetch_value(connection, "SELECT next_offset FROM alert_window_positions")
            return offset == 2

        await eventually(read, what="what was told is read")
    # A station forgets with the first batch it adds up, and then every ten minutes.
    async with windows(context):
        await tell(context, [adding(series, 2, after(2))])

        async def gone() -> bool:
            async with context.database.connection() as connection:
                told = "SELECT next_offset FROM alert_window_positions"
                left = "SELECT count(*) FROM alert_window_buckets NATURAL FULL JOIN alert_window_begun"
                return (await fetch_value(connection, told), await fetch_value(connection, left)) == (3, 0)

        await eventually(gone, what="nothing is left of it")


async def test_buckets_that_no_window_will_hold_again_are_dropped(context: Context) -> None:
    series = await define(context, min_count=2, window_seconds=60)
    async with windows(context) as stations:
        await tell(context, [adding(series, number, after(number * 100)) for number in range(20)])
        await tell(context, [adding(series, 30, after(1_901))])
        await until_decided(context, stations, after(2_500), 1)
        async with context.database.connection() as connection:
            assert await fetch_value(connection, "SELECT count(*) FROM alert_window_buckets") == 0
            assert [one.place for one in await windowed_alerts(connection, START)] == [
                (NAMESPACE, "alt_w", "col_w")
            ]
