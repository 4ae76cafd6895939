"""Day partitions of the view, made as days arrive."""

from collections.abc import Collection
from datetime import date, timedelta
from typing import Final

from psycopg import sql

from streams.query.results import DOCUMENT_COLUMNS, EXECUTION_COLUMNS
from streams.runtime.database import Connection

COLUMNS: Final = {"result_documents": DOCUMENT_COLUMNS, "alert_executions": EXECUTION_COLUMNS}
PARTITIONED: Final = tuple(COLUMNS)
SAMPLED: Final = 10
"""Statistics target of the columns of a day: 300 times as many rows are looked at."""
_LOCK = 7_431_010
DROP_LOCK = 7_431_011
"""Advisory lock: shared by whoever writes results until they are committed, exclusive to drop days."""


def partition_name(table: str, day: date) -> str:
    """``alert_executions_20141001``."""
    return f"{table}_{day.isoformat().replace('-', '')}"


async def share_days(connection: Connection) -> None:
    """Have no day dropped before the caller's transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (DROP_LOCK,))


async def ensure_days(connection: Connection, days: Collection[date]) -> set[date]:
    """Make the partitions of ``days`` that are missing, in the caller's transaction. Returns those of ``days``
    that are kept: none of them is dropped before that transaction ends.

    Workers that meet a new day at the same time wait for each other's commit. A table is made first and
    attached then, because that does not lock out readers and writers of the other days.
    """
    async with connection.pipeline():
        await share_days(connection)
        kept_from, missing = await _missing(connection, days)
    kept = {day for day in days if day >= kept_from}
    if not missing:
        return kept
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    for table, day in (await _missing(connection, kept))[1]:
        name = sql.Identifier(partition_name(table, day))
        parent = sql.Identifier(table)
        await connection.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(name, parent))
        await connection.execute(_sampled(name, COLUMNS[table]))
        await connection.execute(
            sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                parent, name, sql.Literal(day.isoformat()), sql.Literal((day + timedelta(days=1)).isoformat())
            )
        )
    return kept


def _sampled(name: sql.Identifier, columns: str) -> sql.Composed:
    # PostgreSQL looks at a day again whenever it has grown by a tenth. At its own setting that is 30,000 rows, for
    # which reads wait; every statement goes by keys, which few rows tell as well.
    actions = (
        sql.SQL("ALTER COLUMN {} SET STATISTICS {}").format(sql.Identifier(column), sql.Literal(SAMPLED))
        for column in columns.split(", ")
    )
    return sql.SQL("ALTER TABLE {} {}").format(name, sql.SQL(", ").join(actions))


async def _missing(connection: Connection, days: Collection[date]) -> tuple[date, list[tuple[str, date]]]:
    """From which day on results are kept, and the partitions of these days that are not there."""
    wanted = {partition_name(table, day): (table, day) for table in PARTITIONED for day in sorted(days)}
    cursor = await connection.execute(
        # Not to_regclass: its cache may still miss what another worker has just committed.
        "SELECT kept_from, name FROM view_retention LEFT JOIN unnest(%s::text[], %s::date[]) AS w (name, day)"
        " ON w.day >= kept_from AND NOT EXISTS (SELECT 1 FROM pg_class c"
        " JOIN pg_inherits i ON i.inhrelid = c.oid WHERE c.relname = w.name AND i.inhparent ="
        " ANY(ARRAY['result_documents', 'alert_executions']::regclass[]))",
        (list(wanted), [day for _, day in wanted.values()]),
    )
    rows = await cursor.fetchall()
    return rows[0][0], [wanted[name] for _, name in rows if name is not None]


async def stored_days(connection: Connection) -> list[date]:
    """The days that have a partition of executions, newest first."""
    cursor = await connection.execute(
        "SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day FROM pg_inherits i JOIN pg_class c"
        " ON c.oid = i.inhrelid WHERE i.inhparent = 'alert_executions'::regclass ORDER BY day DESC"
    )
    return [row[0] for row in await cursor.fetchall()]
