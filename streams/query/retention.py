"""Which days of the view are kept.

Days are dropped by the query service, whichever process comes first, one in a transaction. What is dropped stays
dropped: the day before which nothing is kept is written down, and records of before are passed over, so that a
view that is rebuilt holds what the one before held.
"""

from datetime import date, timedelta
from typing import Final

import structlog
from psycopg import sql

from schemas.topics import ALERT_RESULTS
from streams.query.partitions import DROP_LOCK, PARTITIONED, partition_name, stored_days
from streams.runtime.database import Connection, Database, fetch_value

log = structlog.get_logger(__name__)

_PATIENCE: Final = b"SET LOCAL lock_timeout = '5s'"
"""Readers of the view are not held up longer than this behind a table that is about to go."""


async def drop_days(database: Database, before: date) -> list[date]:
    """Drop every day before this one for good; counters stay exact. Returns the days dropped, oldest first. Raises
    ``psycopg.errors.LockNotAvailable`` when a reader takes too long; what was dropped until then is."""
    dropped: list[date] = []
    while True:
        async with database.transaction() as connection:
            await connection.execute(_PATIENCE)
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (DROP_LOCK,))
            kept_from = await fetch_value(
                connection,
                "UPDATE view_retention SET kept_from = greatest(kept_from, %s) RETURNING kept_from",
                (before,),
            )
            old = min((day for day in await stored_days(connection) if day < kept_from), default=None)
            if old is None:
                await _forget(connection, kept_from)
                return dropped
            await _drop(connection, old)
        log.info("day_dropped", day=old.isoformat())
        dropped.append(old)


async def _drop(connection: Connection, day: date) -> None:
    # An alert keeps its counter at 0: it has fired, though nothing of it is kept.
    await connection.execute(
        "UPDATE alert_execution_counts c SET executions = c.executions - e.executions,"
        " newest_at = CASE WHEN c.newest_at >= %(end)s THEN c.newest_at END,"
        " newest_base = CASE WHEN c.newest_at >= %(end)s THEN c.newest_base END FROM (SELECT alert_number,"
        " count(*) AS executions FROM alert_executions WHERE day = %(day)s GROUP BY 1 ORDER BY 1) e"
        " WHERE c.alert_number = e.alert_number",
        {"day": day, "end": day + timedelta(days=1)},
    )
    for table in PARTITIONED:
        name = sql.Identifier(partition_name(table, day))
        await connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
    await connection.execute("DELETE FROM result_additions WHERE day = %s", (day,))


async def _forget(connection: Connection, kept_from: date) -> None:
    """What goes with days that are gone. Where an event was put is kept as long as the topic may tell it again."""
    assert ALERT_RESULTS.retention is not None
    await connection.execute(
        "DELETE FROM result_bases WHERE day < %s", (kept_from - ALERT_RESULTS.retention - timedelta(days=1),)
    )
    await connection.execute("DELETE FROM retriever_executions WHERE created_at < %s", (kept_from,))
    await connection.execute("DELETE FROM delivery_status WHERE at < %s", (kept_from,))
