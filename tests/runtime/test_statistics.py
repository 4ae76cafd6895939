"""What the planner is told of tables that have grown."""

from datetime import UTC, datetime, timedelta

from streams.runtime.agent import Context
from streams.runtime.statistics import EVERY, FEWEST, Statistics
from tests.support import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def known_rows(context: Context) -> float:
    """How many rows the planner takes the table for; -1 when it does not know."""
    async with context.database.connection() as connection:
        row = await (
            await connection.execute("SELECT reltuples FROM pg_class WHERE oid = 'documents'::regclass")
        ).fetchone()
    assert row is not None
    return float(row[0])


async def fill(context: Context, start: int, count: int) -> None:
    async with context.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO documents (namespace_id, collection_id, document_id, occurred_at, appended_at, partition,"
            " record_offset, created_at) SELECT 'ns_s', 'col_s', n::text, now(), now(), 0, n, now()"
            " FROM generate_series(%s::int, %s::int) AS n",
            (start, start + count - 1),
        )


async def test_a_table_that_has_doubled_is_looked_at(context: Context) -> None:
    async with context.database.connection() as connection:
        await connection.execute("ALTER TABLE documents SET (autovacuum_enabled = false)")
    statistics = Statistics(context.database)
    now = NOW

    async def knows(rows: int) -> bool:
        nonlocal now
        now += EVERY
        await statistics.tick(now)
        return await known_rows(context) == rows

    await fill(context, 0, FEWEST - 1)
    await statistics.tick(NOW - timedelta(days=1))
    assert await known_rows(context) == -1
    await fill(context, FEWEST, FEWEST + 1)
    # What a connection changed is counted a second after it, at the latest.
    await eventually(lambda: knows(2 * FEWEST))
    await fill(context, 10 * FEWEST, FEWEST)
    await statistics.tick(now + EVERY)
    assert await known_rows(context) == 2 * FEWEST
    await fill(context, 20 * FEWEST, 2 * FEWEST)
    await eventually(lambda: knows(5 * FEWEST))
