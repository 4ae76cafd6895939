"""The latest result of an alert, with all that is shown beside it, in one round trip.

What a look-up by key takes is its round trips: on a busy machine each waits for a processor several times. So the
namespace, the alert, how far it was checked, its newest execution and that one's deliveries are one statement; and
because it is one, all of it is of the same instant.
"""

from dataclasses import dataclass
from typing import Final

from streams.query.compose.rows import Checked, Delivery, Execution
from streams.query.reads import executions
from streams.query.reads.progress import attaching
from streams.runtime.database import Connection

_NAMED: Final = (
    "SELECT d.id, d.number FROM definitions d WHERE d.kind = '{kind}' AND d.namespace_id = {namespace}"
    " AND d.deleted_at IS NULL AND (d.id = %({kind})s OR d.name = %({kind})s)"
    " ORDER BY (d.id = %({kind})s) DESC LIMIT 1"
)
"""By id or by name, as :func:`streams.runtime.definitions.find_definition`."""
_LATEST: Final = f"""
WITH space AS MATERIALIZED (
    {_NAMED.format(kind="namespace", namespace="''")}
), alert AS MATERIALIZED (
    SELECT a.id, a.number, space.id AS namespace_id
    FROM space CROSS JOIN LATERAL ({_NAMED.format(kind="alert", namespace="space.id")}) a
), attaching AS MATERIALIZED (
    SELECT c.id FROM alert CROSS JOIN LATERAL ({attaching("alert.namespace_id", "alert.id")}) c
)
SELECT space.id, alert.id, checked.position, checked.occurred_at, checked.appended_at, checked.version,
    (SELECT json_object_agg(w.collection_id, w.through ORDER BY w.collection_id) FROM alert_windows w
     WHERE w.namespace_id = space.id AND w.alert_id = alert.id AND w.through IS NOT NULL),
    {executions.deliveries_of("space.id", "execution.base", "execution.number")},
    execution.*
FROM space LEFT JOIN alert ON true
LEFT JOIN LATERAL (
    SELECT json_agg(json_build_array(p.collection_id, p.partition, p.next_offset)
                    ORDER BY p.collection_id, p.partition) AS position,
           max(p.occurred_at) AS occurred_at, max(p.appended_at) AS appended_at,
           max(p.definitions_version) AS version
    FROM match_progress p WHERE p.namespace_id = space.id
     AND p.collection_id IN (SELECT id FROM attaching)
) checked ON true
LEFT JOIN LATERAL ({executions.LATEST}) execution ON true
""".encode()
_BESIDE: Final = 8
"""Columns before those of the execution."""


@dataclass(frozen=True, slots=True)
class Latest:
    """What was found of an alert. ``namespace_id`` and ``alert_id`` are as they are called by id."""

    namespace_id: str
    alert_id: str | None
    """``None``: there is no such alert, and nothing else was found."""
    checked: Checked | None
    """``None``: nothing was checked."""
    execution: Execution | None
    """``None``: it never fired."""
    deliveries: list[Delivery]


async def latest(connection: Connection, namespace: str, alert: str) -> Latest | None:
    """The latest result of an alert, both by id or name; ``None`` where there is no such namespace. Neither name
    holds a NUL."""
    cursor = await connection.execute(_LATEST, {"namespace": namespace, "alert": alert}, prepare=True)
    row = await cursor.fetchone()
    if row is None:
        return None
    namespace_id, alert_id, position, occurred_at, appended_at, version, decided, deliveries = row[:_BESIDE]
    checked: Checked | None = None
    if position is not None:
        checked = Checked(position, occurred_at, appended_at, version, decided or {})
    execution = None if row[_BESIDE] is None else Execution(*row[_BESIDE:])
    found = [] if execution is None else [Delivery(*values) for values in deliveries or ()]
    return Latest(namespace_id, alert_id, checked, execution, found)
