"""What match has checked, and the alerts that never fired on it."""

from typing import Any, Final

from psycopg.rows import class_row

from streams.query.compose.rows import Unfired
from streams.runtime.database import Connection, fetch_value


def attaching(namespace: str, alert: str) -> str:
    """SQL: the ids of the collections of a namespace that check the alert on ingest. Both are expressions."""
    return (
        "SELECT t.collection_id AS id FROM alert_attachments t"
        f" WHERE t.namespace_id = {namespace} AND t.alert_id = {alert}"
    )


# Checked: some batch was evaluated under definitions that held the alert, its attachment and its retriever as they
# are now.
_UNFIRED = """
WITH applied AS (
    SELECT a.alert_id, c.id AS collection_id, c.version FROM alert_attachments a
    JOIN definitions c ON c.kind = 'collection' AND c.namespace_id = a.namespace_id AND c.id = a.collection_id
    WHERE a.namespace_id = %(namespace)s AND (%(alert)s::text IS NULL OR a.alert_id = %(alert)s)
), progress AS (
    SELECT DISTINCT ON (collection_id) collection_id, appended_at, occurred_at, definitions_version
    FROM match_progress WHERE namespace_id = %(namespace)s
    ORDER BY collection_id, definitions_version DESC, appended_at DESC
), newest AS (
    SELECT DISTINCT ON (a.id) a.number, a.id AS alert_id, a.version AS alert_version,
           coalesce(a.body ->> 'retriever_id', '') AS retriever_id,
           a.body -> 'notification_config' -> 'include_matches' IS DISTINCT FROM 'false'::jsonb AS include_matches,
           a.body ->> 'window_seconds' IS NOT NULL AS windowed,
           p.collection_id, p.appended_at, p.occurred_at, p.definitions_version
    FROM definitions a JOIN applied ON applied.alert_id = a.id
    LEFT JOIN definitions r ON r.kind = 'retriever' AND r.namespace_id = a.namespace_id
     AND r.id = a.body ->> 'retriever_id'
    JOIN progress p ON p.collection_id = applied.collection_id
     AND p.definitions_version >= greatest(a.version, applied.version, r.version)
    WHERE a.kind = 'alert' AND a.namespace_id = %(namespace)s AND a.deleted_at IS NULL
      AND a.body -> 'enabled' IS DISTINCT FROM 'false'::jsonb
      AND NOT EXISTS (SELECT 1 FROM alert_execution_counts n
                      WHERE n.namespace_id = a.namespace_id AND n.alert_id = a.id)
    ORDER BY a.id, p.appended_at DESC, p.collection_id
)
SELECT * FROM newest ORDER BY number DESC
"""

# All that decides which alerts these are. Progress that moves on under the same definitions changes nothing.
_DECIDED_BY = b"""
SELECT (SELECT definitions_version FROM stream_identity),
       (SELECT bit_xor(hashtextextended(collection_id, version)) FROM (
            SELECT collection_id, max(definitions_version) AS version FROM match_progress
            WHERE namespace_id = %(namespace)s GROUP BY 1) p),
       count(*), bit_xor(hashint8extended(alert_number, 0))
FROM alert_execution_counts WHERE namespace_id = %(namespace)s
"""
# What a page of executions is read by, in the same transaction, would hold each alert against each counter.
_FREELY = (
    b"SELECT set_config(name, 'on', true) FROM unnest(ARRAY['enable_seqscan', 'enable_sort', 'enable_hashjoin',"
    b" 'enable_mergejoin']) AS name"
)
_KEPT: Final = 1_000
"""Namespaces whose number is remembered."""


class Silent:
    """How many alerts of each namespace :func:`unfired` finds. To find them takes as long as there are attached
    alerts; so the number is remembered as long as what it was decided by is the same."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[Any, ...], int]] = {}

    async def count(self, connection: Connection, namespace_id: str) -> int:
        """The number, in the caller's snapshot."""
        decided_by, known = await self._remembered(connection, namespace_id)
        if known is None:
            await connection.execute(_FREELY)
            parameters = {"namespace": namespace_id, "alert": None}
            known = int(await fetch_value(connection, f"SELECT count(*) FROM ({_UNFIRED}) AS silent", parameters))
            self._remember(namespace_id, decided_by, known)
        return known

    async def all(self, connection: Connection, namespace_id: str) -> list[Unfired]:
        """Those alerts, in the caller's snapshot: :func:`unfired`, where there are some."""
        decided_by, known = await self._remembered(connection, namespace_id)
        if known == 0:
            return []
        found = await unfired(connection, namespace_id)
        self._remember(namespace_id, decided_by, len(found))
        return found

    async def _remembered(self, connection: Connection, namespace_id: str) -> tuple[tuple[Any, ...], int | None]:
        """What decides the number now, and the number where it is known."""
        decided_by = await (await connection.execute(_DECIDED_BY, {"namespace": namespace_id})).fetchone()
        assert decided_by is not None
        known = self._known.get(namespace_id)
        return decided_by, known[1] if known is not None and known[0] == decided_by else None

    def _remember(self, namespace_id: str, decided_by: tuple[Any, ...], number: int) -> None:
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[namespace_id] = (decided_by, number)


async def unfired(connection: Connection, namespace_id: str, alert_id: str | None = None) -> list[Unfired]:
    """Alerts that were checked as they are defined now and have never fired; the youngest alert first."""
    await connection.execute(_FREELY)
    async with connection.cursor(row_factory=class_row(Unfired)) as cursor:
        await cursor.execute(_UNFIRED.encode(), {"namespace": namespace_id, "alert": alert_id})
        return await cursor.fetchall()
