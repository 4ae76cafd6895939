"""Day partitions of the view, made as days arrive."""

from collections.abc import Iterable
from datetime import date, timedelta

from psycopg import sql

from streams.runtime.database import Connection

PARTITIONED = ("result_documents", "alert_executions")
_LOCK = 7_431_010


def partition_name(table: str, day: date) -> str:
    """``alert_executions_20141001``."""
    return f"{table}_{day.isoformat().replace('-', '')}"


async def ensure_days(connection: Connection, days: Iterable[date]) -> None:
    """Make the partitions of ``days`` that are missing, in the caller's transaction.

    Workers that meet a new day at the same time wait for each other's commit. A table is made first and
    attached then, because that does not lock out readers and writers of the other days.
    """
    missing = await _missing(connection, sorted(set(days)))
    if not missing:
        return
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    for table, day in await _missing(connection, [day for _, day in missing]):
        name = sql.Identifier(partition_name(table, day))
        parent = sql.Identifier(table)
        await connection.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(name, parent))
        await connection.execute(
            sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                parent, name, sql.Literal(day.isoformat()), sql.Literal((day + timedelta(days=1)).isoformat())
            )
        )


async def _missing(connection: Connection, days: list[date]) -> list[tuple[str, date]]:
    wanted = {partition_name(table, day): (table, day) for table in PARTITIONED for day in sorted(set(days))}
    cursor = await connection.execute(
        # Not to_regclass: its cache may still miss what another worker has just committed.
        "SELECT name FROM unnest(%s::text[]) AS name WHERE NOT EXISTS (SELECT 1 FROM pg_class c"
        " JOIN pg_inherits i ON i.inhrelid = c.oid WHERE c.relname = name AND i.inhparent ="
        " ANY(ARRAY['result_documents', 'alert_executions']::regclass[]))",
        (list(wanted),),
    )
    return [wanted[row[0]] for row in await cursor.fetchall()]


async def stored_days(connection: Connection) -> list[date]:
    """The days that have a partition of executions, newest first."""
    cursor = await connection.execute(
        "SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day FROM pg_inherits i JOIN pg_class c"
        " ON c.oid = i.inhrelid WHERE i.inhparent = 'alert_executions'::regclass ORDER BY day DESC"
    )
    return [row[0] for row in await cursor.fetchall()]
