"""Few results are written by statements, many by COPY: the same rows either way."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.events.alert_result import AlertResultRecord, Found, encode_alert_result
from schemas.topics import ALERT_RESULTS, MATCH_PROGRESS
from streams.query.partitions import COLUMNS, SAMPLED, partition_name
from streams.query.results import ResultReader
from streams.query.rows import Rows
from streams.query.store import FEW, NotAsExpected, are_few, write, write_few
from streams.runtime.agent import Context
from tests.query.support import NOON, VIEW_TABLES, define_alert, hit, progress, result, view


def rows(*records: AlertResultRecord, through: int | None = None) -> Rows:
    """What these records, from the beginning of partition 0, add to the view."""
    found = Rows(ResultReader())
    for offset, record in enumerate(records):
        found.add(ALERT_RESULTS.name, encode_alert_result(record), 0, offset)
    if through is not None:
        found.add(MATCH_PROGRESS.name, progress(1, next_offset=through).encode())
    return found


async def emptied(context: Context) -> None:
    async with context.database.connection() as connection:
        await connection.execute(f"TRUNCATE {', '.join(VIEW_TABLES)}".encode())


async def test_both_ways_write_the_same_rows(context: Context) -> None:
    first, second = await define_alert(context, "a"), await define_alert(context, "b")
    looked_up = replace(hit(first), matched_features=None, found=Found(1, [{"document_id": "r"}], {"0": 3}))
    records = [
        result(1, hit(first), hit(second, 0.25), document={"document_id": "doc_1", "emoji": "é☃", "none": None}),
        result(2, replace(hit(second), matched_features=None, reason=""), at=NOON + timedelta(hours=1)),
        result(3, looked_up, replace(hit(second), triggered=False)),
    ]
    before = result(9, hit(first), at=NOON - timedelta(hours=1))
    found = []
    for writer in (write, write_few):
        await emptied(context)
        async with context.database.transaction() as connection:
            await write(connection, rows(before))
        async with context.database.transaction() as connection:
            await writer(connection, rows(*records, through=12))
        found.append(await view(context))
    assert found[0] == found[1]
    assert len(found[0]["alert_executions"]) == 6
    assert len(found[0]["match_progress"]) == 1


@pytest.mark.parametrize("change", [timedelta(), timedelta(days=1)], ids=["a repeat", "a new day"])
async def test_what_is_not_as_expected_is_refused(context: Context, change: timedelta) -> None:
    alert = await define_alert(context, "a")
    async with context.database.transaction() as connection:
        await write(connection, rows(result(1, hit(alert))))
    held = await view(context)
    with pytest.raises(NotAsExpected):
        async with context.database.transaction() as connection:
            await write_few(connection, rows(result(1, hit(alert), at=NOON + change)))
    assert await view(context) == held


async def test_which_batches_are_few(context: Context) -> None:
    alert = await define_alert(context, "a")
    assert are_few(rows(through=1))
    assert are_few(rows(*(result(n, hit(alert)) for n in range(FEW))))
    assert not are_few(rows(*(result(n, hit(alert)) for n in range(FEW + 1))))
    assert not are_few(rows(result(1, hit(alert), event_id="e")))


async def test_a_new_day_is_sampled_small(context: Context) -> None:
    alert = await define_alert(context, "a")
    async with context.database.transaction() as connection:
        await write(connection, rows(result(1, hit(alert))))
    for table, columns in COLUMNS.items():
        async with context.database.connection() as connection:
            cursor = await connection.execute(
                "SELECT attname, attstattarget FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
                " AND NOT attisdropped",
                (partition_name(table, NOON.date()),),
            )
            assert dict(await cursor.fetchall()) == dict.fromkeys(columns.split(", "), SAMPLED)
