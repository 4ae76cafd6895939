"""How many things a list has: sums of a ledger that database triggers keep, never a count of the rows
(docs/decisions/032).

A total is exact in the snapshot of whoever asks, whatever is written meanwhile. What lists are filtered by with
few values (status, type) is a *facet* of the ledger; what cannot be is counted, up to a bound
(:mod:`streams.runtime.http.bounds`).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg.types.json import Jsonb

from streams.runtime.database import Connection, Database, fetch_value

EVERY: Final = timedelta(seconds=10)
_LOCK: Final = 7_431_032
_AT_ONCE: Final = 1_000


async def listed(
    connection: Connection,
    list_name: str,
    namespace_ids: str | Sequence[str] | None,
    owner: str = "",
    **facets: str | bool | Sequence[str] | None,
) -> int:
    """How many things a list of some namespaces (``None``: of all) has. ``facets``: only those of this value, of
    one of several values; ``None`` for any."""
    where = "list = %(list)s AND owner = %(owner)s"
    values: dict[str, Any] = {"list": list_name, "owner": owner}
    if namespace_ids is not None:
        where += " AND namespace_id = ANY(%(namespaces)s)"
        values["namespaces"] = [namespace_ids] if isinstance(namespace_ids, str) else list(namespace_ids)
    for name, value in facets.items():
        if value is not None:
            where += f" AND facets -> '{name}' = ANY(%({name})s::jsonb[])"
            values[name] = [Jsonb(one) for one in ([value] if isinstance(value, str | bool) else value)]
    return int(await fetch_value(connection, f"SELECT coalesce(sum(n), 0) FROM list_counts WHERE {where}", values))


async def listed_by(connection: Connection, list_name: str, namespace_id: str, facet: str) -> dict[Any, int]:
    """How many things a list has of each value of a facet."""
    cursor = await connection.execute(
        "SELECT facets -> %s, sum(n)::bigint FROM list_counts WHERE list = %s AND namespace_id = %s GROUP BY 1"
        " HAVING sum(n) <> 0 ORDER BY 1",
        (facet, list_name, namespace_id),
    )
    return dict(await cursor.fetchall())


async def fold(connection: Connection) -> int:
    """Put rows that count the same thing together, in the caller's transaction. Returns of how many lists there
    were fresh rows; at most a thousand are folded at once, and by one at a time."""
    if not await fetch_value(connection, "SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,)):
        return 0
    return int(
        await fetch_value(
            connection,
            "WITH due AS MATERIALIZED (SELECT DISTINCT list, namespace_id, owner FROM list_counts WHERE NOT folded"
            f" LIMIT {_AT_ONCE}), gone AS (DELETE FROM list_counts c USING due WHERE c.list = due.list"
            " AND c.namespace_id = due.namespace_id AND c.owner = due.owner RETURNING c.*),"
            " kept AS (INSERT INTO list_counts (list, namespace_id, owner, facets, n, folded)"
            " SELECT list, namespace_id, owner, facets, sum(n), true FROM gone GROUP BY 1, 2, 3, 4"
            " HAVING sum(n) <> 0)"
            " SELECT count(*) FROM due",
        )
    )


class Folding:
    """Folds the ledger, every ten seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._folded_at: datetime | None = None

    async def tick(self, now: datetime) -> None:
        """Fold what is fresh, if it is time to."""
        if self._folded_at is not None and timedelta() <= now - self._folded_at < EVERY:
            return
        while True:
            async with self._database.transaction() as connection:
                if await fold(connection) < _AT_ONCE:
                    break
        self._folded_at = now
