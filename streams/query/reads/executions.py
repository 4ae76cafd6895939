"""Recorded alert executions of alerts that are not deleted: newest first, by id, counted."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date
from typing import Any, Final

from psycopg.rows import class_row, dict_row

from schemas.ids import ExecutionRef
from streams.query.compose.rows import Delivery, Execution
from streams.query.following import Brought
from streams.query.paging import After, windows
from streams.query.partitions import stored_days
from streams.runtime import erasure
from streams.runtime.database import Connection, columns, fetch_value

# An alert deleted meanwhile keeps its rows but is not served. A scalar subquery and not a join: rows are then
# looked up one by one in index order until the page is full, where a join may read and sort the whole day.
_ALERT = "FROM definitions a WHERE a.kind = 'alert' AND a.namespace_id = e.namespace_id AND a.id = e.alert_id"
_SERVED = f"(SELECT a.deleted_at IS NULL {_ALERT})"

# The page is chosen on the narrow rows; the document parts are fetched for it alone. Of a document that was
# deleted since nothing is shown, whatever record of before comes again.
_SELECT = """
SELECT p.base, p.alert_number AS number, p.alert_id, p.alert_version, p.retriever_id, p.appended_at, p.score,
       p.reason, p.matched_features, p.match_count, {matches} AS matches, p.reference_position, p.triggered,
       p.include_matches, p.channels, r.collection_id, r.document_id, r.source_topic, r.source_partition,
       r.source_offset, r.occurred_at, r.executed_at, r.duration_ms, r.definitions_version,
       CASE WHEN {erased} THEN NULL ELSE r.asset_id END AS asset_id, r.truncated,
       CASE WHEN {erased} THEN '{{}}'::json ELSE r.document END AS document{more}
FROM ({page}) p
JOIN result_documents r ON r.day = p.day AND r.base = p.base{pruned}
ORDER BY p.appended_at DESC, p.base DESC, p.alert_number DESC
"""

_COLUMNS = (
    "e.day, e.base, e.alert_number, e.alert_id, e.alert_version, e.retriever_id, e.appended_at, e.score, e.reason,"
    " e.matched_features, e.match_count, e.matches, e.reference_position, e.triggered,"
    " (SELECT a.body -> 'notification_config' -> 'include_matches' IS DISTINCT FROM 'false'::jsonb"
    f" {_ALERT}) AS include_matches,"
    f" (SELECT coalesce(a.body -> 'notification_config' -> 'channels', '[]') {_ALERT}) AS channels"
)


# The index has the order, and a page is few rows. Without statistics of a day that has just begun the planner
# would read and sort all of it, or join all of it, for the first page; and to plan costs more than to read one.
_IN_ORDER = (
    "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true),"
    " set_config('enable_hashjoin', 'off', true),"
    " set_config('enable_mergejoin', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)"
)


def _select(page: str, *, pruned: bool = True, more: str = "") -> bytes:
    """The executions of a page; ``pruned`` where their days are given, with ``more`` of its columns."""
    days = " AND r.day = ANY(%(days)s)" if pruned else ""
    return _SELECT.format(
        page=page, erased=erasure.ERASED, matches=erasure.MATCHES, pruned=days, more=more
    ).encode()


LATEST: Final = _select(
    # By the whole key and not a part of it, which a join may take as well: there may be a million of the alert.
    f"SELECT {_COLUMNS} FROM alert_execution_counts n CROSS JOIN LATERAL (SELECT * FROM alert_executions x"
    " WHERE x.day = (n.newest_at AT TIME ZONE 'UTC')::date AND x.namespace_id = n.namespace_id"
    " AND x.appended_at = n.newest_at AND x.base = n.newest_base AND x.alert_number = n.alert_number OFFSET 0) e"
    f" WHERE n.alert_number = alert.number AND n.namespace_id = alert.namespace_id AND {_SERVED}",
    pruned=False,
).decode()
"""SQL: the newest execution of ``alert`` (number, namespace_id), as its counter says: one row in the order of
:class:`Execution`, or none."""


async def newest(
    connection: Connection,
    namespace_id: str,
    alerts: Sequence[int] | None,
    limit: int,
    *,
    after: After | None = None,
) -> list[Execution]:
    """The newest executions, of all alerts of the namespace or of some by number: by append time of the document,
    then document part, then alert number."""
    wheres = ["e.namespace_id = %(namespace)s", "e.day = ANY(%(days)s)", _SERVED]
    parameters: dict[str, Any] = {"namespace": namespace_id}
    if alerts is not None and len(alerts) == 1:
        # Not = ANY: only equality keeps the index's order.
        wheres.append("e.alert_number = %(alert)s")
        parameters["alert"] = alerts[0]
    elif alerts is not None:
        wheres.append("e.alert_number = ANY(%(alerts)s)")
        parameters["alerts"] = list(alerts)
    start: date | None = None
    if after is not None:
        assert after.appended_at is not None
        wheres.append("(e.appended_at, e.base, e.alert_number) < (%(moment)s, %(base)s, %(number)s)")
        parameters.update(moment=after.appended_at, base=after.base, number=after.number)
        start = after.appended_at.astimezone(UTC).date()
    page = (
        f"SELECT {_COLUMNS} FROM alert_executions e WHERE {' AND '.join(wheres)}"
        " ORDER BY e.appended_at DESC, e.base DESC, e.alert_number DESC LIMIT %(limit)s"
    )
    statement = _select(page)
    async with connection.pipeline():
        await connection.execute(_IN_ORDER)
        stored = await stored_days(connection)
    found: list[Execution] = []
    for days in windows(stored, start):
        parameters.update(days=days, limit=limit - len(found))
        async with connection.cursor(row_factory=class_row(Execution)) as cursor:
            await cursor.execute(statement, parameters, prepare=True)
            found += await cursor.fetchall()
        if len(found) >= limit:
            break
    return found


async def by_id(connection: Connection, namespace_id: str, ref: ExecutionRef) -> Execution | None:
    """One execution. An id does not tell its day, so every partition is probed by its primary key."""
    if ref.alert_number >= 1 << 63:
        return None
    page = (
        f"SELECT {_COLUMNS} FROM unnest(%(days)s::date[]) AS one(day) CROSS JOIN LATERAL"
        " (SELECT d.day, d.base, d.appended_at FROM result_documents d WHERE d.day = one.day AND d.base = %(base)s"
        " OFFSET 0) d CROSS JOIN LATERAL"
        " (SELECT * FROM alert_executions x WHERE x.day = d.day AND x.base = d.base"
        " AND x.appended_at = d.appended_at"
        f" AND x.alert_number = %(number)s AND x.namespace_id = %(namespace)s OFFSET 0) e WHERE {_SERVED} LIMIT 1"
    )
    parameters = {
        "days": await stored_days(connection),
        "base": ref.base,
        "number": ref.alert_number,
        "namespace": namespace_id,
    }
    async with connection.cursor(row_factory=class_row(Execution)) as cursor:
        await cursor.execute(_select(page), parameters)
        return await cursor.fetchone()


def deliveries_of(namespace: str, base: str, number: str) -> str:
    """SQL: the newest delivery attempts of an execution in order of the alert's channels, as a list of the fields
    of :class:`Delivery`, or null. Arguments are expressions."""
    return f"""(SELECT json_agg(json_build_array(d.execution_id, d.channel_type, d.status, d.error)
        ORDER BY d.channel_index) FROM delivery_status d WHERE d.namespace_id = {namespace}
        AND d.execution_id = 'exec_' || encode({base}, 'hex') || to_hex({number}))"""


# One probe for each record: its document part, then the executions of that part that the record brought, or those
# of some alerts. Records are put in order first, so that no more of them are looked up than fill the page.
def _following(only: str) -> bytes:
    page = f"""
SELECT r.partition AS brought_in, e.result_offset AS brought_at, {_COLUMNS}
FROM (
    SELECT s.partition, s."offset" AS stand, s.number, d.day, d.base, d.appended_at, d.result_offset
    FROM (
        SELECT at.partition, coalesce(k."offset", 0) AS "offset", coalesce(k.number, -1) AS number,
               least(at.next_offset, coalesce(k."offset", 0) + %(window)s) AS "end"
        FROM positions at LEFT JOIN unnest(%(partitions)s::int[], %(offsets)s::bigint[], %(numbers)s::bigint[])
             AS k (partition, "offset", number) ON k.partition = at.partition
        WHERE at.station = %(station)s AND at.topic = %(topic)s AND at.next_offset > coalesce(k."offset", 0)
    ) s
    CROSS JOIN LATERAL (
        SELECT d.day, d.base, d.appended_at, d.result_offset FROM result_documents d
        WHERE d.result_partition = s.partition AND d.result_offset >= s."offset" AND d.result_offset < s."end"
          AND d.namespace_id = %(namespace)s
        UNION ALL
        SELECT d.day, d.base, d.appended_at, a.result_offset FROM result_additions a
        JOIN result_documents d ON d.day = a.day AND d.base = a.base
        WHERE a.result_partition = s.partition AND a.result_offset >= s."offset" AND a.result_offset < s."end"
          AND d.namespace_id = %(namespace)s
    ) d
    ORDER BY s.partition, d.result_offset
) r
CROSS JOIN LATERAL (
    SELECT x.* FROM alert_executions x
    WHERE x.namespace_id = %(namespace)s AND x.appended_at = r.appended_at AND x.base = r.base AND x.day = r.day
      AND x.result_partition = r.partition AND x.result_offset = r.result_offset{only}
    OFFSET 0
) e
WHERE (e.result_offset, e.alert_number) > (r.stand, r.number) AND {_SERVED}
ORDER BY r.partition, r.result_offset, e.alert_number LIMIT %(limit)s
"""
    told = deliveries_of("%(namespace)s", "p.base", "p.alert_number")
    brought = _select(page, pruned=False, more=f", p.brought_in, p.brought_at, {told} AS told")
    return (
        b"SELECT held.ends, found.* FROM (SELECT json_object_agg(partition, next_offset) AS ends FROM positions"
        b" WHERE station = %(station)s AND topic = %(topic)s) held LEFT JOIN (" + brought + b") found ON true"
    )


_ALL_FOLLOWING: Final = _following("")
_SOME_FOLLOWING: Final = _following(" AND x.alert_number = ANY(%(alerts)s)")


async def brought(
    connection: Connection,
    namespace_id: str,
    alerts: Sequence[int] | None,
    read: Mapping[str, Any],
    behind: Sequence[tuple[int, int, int]],
    limit: int,
) -> tuple[dict[int, int], list[tuple[Brought, Execution, list[Delivery]]]]:
    """Where the positions stand, and the next executions of a namespace up to there, of all its alerts or of some
    by number, in the order in which records brought them, each with its deliveries. ``behind``: partition, offset
    and alert number to begin behind; ``read``: ``station`` and ``topic`` of the positions, and the ``window`` of
    offsets to look through. One statement, so all of it is of the same instant, in one round trip."""
    values = dict(zip(("partitions", "offsets", "numbers"), columns(behind, 3), strict=True))
    parameters = {**read, **values, "namespace": namespace_id, "limit": limit}
    if alerts is not None:
        parameters["alerts"] = list(alerts)
    async with connection.cursor(row_factory=dict_row) as cursor:
        # A pipeline is a transaction by itself: what is set is so for the statement behind it.
        async with connection.pipeline():
            await connection.execute(_IN_ORDER)
            await cursor.execute(_ALL_FOLLOWING if alerts is None else _SOME_FOLLOWING, parameters, prepare=True)
        rows = await cursor.fetchall()
    ends = {int(partition): offset for partition, offset in (rows[0]["ends"] or {}).items()}
    found = []
    for row in rows:
        del row["ends"]
        deliveries = [Delivery(*one) for one in row.pop("told") or ()]
        place = Brought(row.pop("brought_in"), row.pop("brought_at"), row["number"])
        if place.number is not None:
            found.append((place, Execution(**row), deliveries))
    return ends, sorted(found, key=_place)


def _place(item: tuple[Brought, Execution, list[Delivery]]) -> Brought:
    return item[0]


async def count(connection: Connection, namespace_id: str, alerts: Sequence[int] | None) -> int:
    """How many executions are recorded, exactly, of all alerts of the namespace or of some by number."""
    # Of alerts deleted meanwhile few have a counter again: cheaper to take away than to look all others up.
    only = "" if alerts is None else " AND c.alert_number = ANY(%(alerts)s)"
    return int(
        await fetch_value(
            connection,
            "SELECT coalesce(sum(c.executions), 0)::bigint - (SELECT coalesce(sum(c.executions), 0)::bigint"
            "  FROM definitions d JOIN alert_execution_counts c ON c.alert_number = d.number"
            "  WHERE d.kind = 'alert' AND d.namespace_id = %(namespace)s AND d.deleted_at IS NOT NULL"
            f"  AND c.namespace_id = %(namespace)s{only})"
            f" FROM alert_execution_counts c WHERE c.namespace_id = %(namespace)s{only}",
            {"namespace": namespace_id, "alerts": None if alerts is None else list(alerts)},
        )
    )


async def deliveries(
    connection: Connection, namespace_id: str, execution_ids: Sequence[str]
) -> dict[str, list[Delivery]]:
    """The newest delivery attempts of executions, by execution id, in order of the alert's channels."""
    found: dict[str, list[Delivery]] = {}
    async with connection.cursor(row_factory=class_row(Delivery)) as cursor:
        await cursor.execute(
            "SELECT execution_id, channel_type, status, error FROM delivery_status WHERE namespace_id = %s"
            " AND execution_id = ANY(%s) ORDER BY execution_id, channel_index",
            (namespace_id, list(execution_ids)),
        )
        for delivery in await cursor.fetchall():
            found.setdefault(delivery.execution_id, []).append(delivery)
    return found
