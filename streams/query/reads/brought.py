"""Executions in the order in which records brought them into the view."""

from collections.abc import Mapping, Sequence

from streams.query.compose.rows import Execution
from streams.query.following import Brought, Stand
from streams.query.reads import executions
from streams.query.station import NAME
from streams.runtime.database import Connection, columns, stored_positions

# One probe for each record: its document part, then the executions of that part that the record brought.
_BROUGHT = """
SELECT s.partition, e.result_offset AS "offset", e.alert_number AS number, e.day, e.base
FROM unnest(%(partitions)s::int[], %(offsets)s::bigint[], %(numbers)s::bigint[], %(ends)s::bigint[])
     AS s (partition, "offset", number, "end")
CROSS JOIN LATERAL (
    SELECT d.day, d.base, d.appended_at, d.result_offset FROM result_documents d
    WHERE d.result_partition = s.partition AND d.result_offset >= s."offset" AND d.result_offset < s."end"
      AND d.namespace_id = %(namespace)s
    UNION ALL
    SELECT d.day, d.base, d.appended_at, a.result_offset FROM result_additions a
    JOIN result_documents d ON d.day = a.day AND d.base = a.base
    WHERE a.result_partition = s.partition AND a.result_offset >= s."offset" AND a.result_offset < s."end"
      AND d.namespace_id = %(namespace)s
) r
JOIN alert_executions e ON e.namespace_id = %(namespace)s AND e.appended_at = r.appended_at AND e.base = r.base
 AND e.day = r.day AND e.result_partition = s.partition AND e.result_offset = r.result_offset
WHERE (e.result_offset, e.alert_number) > (s."offset", s.number)
  AND (%(alerts)s::text[] IS NULL OR e.alert_id = ANY(%(alerts)s))
ORDER BY 1, 2, 3 LIMIT %(limit)s
"""


async def ends(connection: Connection, topic: str) -> dict[int, int]:
    """Per partition the offset behind the last record that the view holds. ``topic`` as the broker names it."""
    return {
        partition: stored.next_offset
        for partition, stored in (await stored_positions(connection, NAME, topic)).items()
    }


async def brought(
    connection: Connection,
    namespace_id: str,
    alert_ids: Sequence[str] | None,
    ahead: Mapping[int, tuple[Stand, int]],
    limit: int,
) -> tuple[list[tuple[Brought, Execution]], Brought | None]:
    """The next executions of a namespace, of all its alerts or of some, in order, and the last that was looked at
    if there may be more. Those of alerts that were deleted are passed over. In one snapshot with :func:`ends`."""
    rows = [(partition, at.offset, at.number, end) for partition, (at, end) in ahead.items()]
    values = dict(zip(("partitions", "offsets", "numbers", "ends"), columns(rows, 4), strict=True))
    cursor = await connection.execute(
        _BROUGHT.encode(), {**values, "namespace": namespace_id, "alerts": alert_ids, "limit": limit}
    )
    found = [(Brought(*row[:3]), row[3], row[4]) for row in await cursor.fetchall()]
    keys = [(day, base, item.number) for item, day, base in found]
    served = {(one.base, one.number): one for one in await executions.by_key(connection, namespace_id, keys)}
    last = found[-1][0] if len(found) == limit else None
    return [(item, served[base, item.number]) for item, _, base in found if (base, item.number) in served], last
