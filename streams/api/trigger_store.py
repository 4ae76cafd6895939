"""Trigger state in the database, both families: created with the definition, changed under its row lock."""

from collections.abc import Sequence
from datetime import datetime

from psycopg.rows import class_row

from schemas.api.actions import RESOURCE_KEYS
from schemas.api.base import JsonObject
from schemas.api.pages import WindowedListRequest
from schemas.api.trigger import Status
from schemas.events.happening import EventType, Happening
from schemas.events.trigger import TriggerFamily
from streams.api.store import require, save
from streams.api.triggers import NextTime, TriggerState, measures_otherwise, next_time
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition, select_definitions
from streams.runtime.happenings import tell
from streams.runtime.http.bounds import counted, refuse_many
from streams.runtime.http.errors import conflict, not_found
from streams.runtime.list_counts import listed

_COLUMNS = ", ".join(f"s.{name}" for name in TriggerState.__dataclass_fields__)
_SORTS = {
    "created_at": "d.created_at",
    "updated_at": "greatest(d.updated_at, s.updated_at)",
    "next_scheduled_at": "s.next_scheduled_at",
    "last_triggered_at": "s.last_triggered_at",
    "trigger_type": "s.trigger_type",
    "status": "s.status",
}
_FACETS = ("action_type", "trigger_type", "status")

_SWITCHED: dict[Status, EventType] = {
    "active": "trigger.resumed",
    "paused": "trigger.paused",
    "disabled": "trigger.deleted",
}


async def state_of(connection: Connection, trigger_id: str, *, lock: bool = False) -> TriggerState:
    """The state of a trigger that exists."""
    async with connection.cursor(row_factory=class_row(TriggerState)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM trigger_state AS s WHERE s.trigger_id = %s".encode()
            + (b" FOR UPDATE" if lock else b""),
            (trigger_id,),
        )
        found = await cursor.fetchone()
    if found is None:
        raise not_found("trigger", trigger_id)
    return found


async def create(
    connection: Connection,
    family: TriggerFamily,
    namespace_id: str,
    body: JsonObject,
    status: Status,
    now: datetime,
) -> StoredDefinition:
    """Write a new trigger with its state. Raises 422 for a schedule that cannot work."""
    due = next_time(body["trigger_id"], body["trigger_type"], body["schedule_config"], now, created=True)
    stored = await save(connection, family, namespace_id, body["trigger_id"], None, body)
    if status != "active":
        due = NextTime()
    await connection.execute(
        "INSERT INTO trigger_state (trigger_id, namespace_id, family, trigger_type, status, next_scheduled_at,"
        " next_due_at, anchor_at, decided_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            body["trigger_id"],
            namespace_id,
            family,
            body["trigger_type"],
            status,
            due.next_scheduled_at,
            due.next_due_at,
            due.next_scheduled_at,
            now,
        ),
    )
    return stored


async def set_status(connection: Connection, stored: StoredDefinition, status: Status, now: datetime) -> None:
    """Pause, resume or disable. A trigger that starts again is next due counted from ``now`` and its failures
    are forgiven; one that does not run has no next time, and what waited for its open run will not be run."""
    state = await state_of(connection, stored.record.id, lock=True)
    if state.status == status:
        return
    await _move(connection, stored, status, now)
    await connection.execute(
        "UPDATE trigger_state SET status = %s,"
        " consecutive_failures = CASE WHEN %s = 'active' THEN 0 ELSE consecutive_failures END"
        " WHERE trigger_id = %s",
        (status, status, stored.record.id),
    )
    trigger_id = stored.record.id
    metadata = {"trigger_id": trigger_id, "status": status}
    await tell(connection, [Happening(_SWITCHED[status], stored.record.namespace_id, trigger_id, metadata)])


async def reschedule(
    connection: Connection, family: TriggerFamily, stored: StoredDefinition, body: JsonObject, now: datetime
) -> StoredDefinition:
    """Replace a trigger's body; when its schedule changed, count it from ``now``, and forget a baseline that
    no longer says anything. Raises 422 for a schedule that cannot work."""
    old, new = stored.body["schedule_config"], body["schedule_config"]
    saved = await save(connection, family, stored.record.namespace_id, stored.record.id, None, body)
    if new == old:
        return saved
    state = await state_of(connection, stored.record.id, lock=True)
    await _move(connection, saved, state.status, now)
    if body["trigger_type"] == "conditional" and measures_otherwise(old, new):
        await connection.execute(
            "UPDATE trigger_state SET baseline_sketch = NULL, baseline_snapshot = NULL, window_until = NULL,"
            " last_drift_measurement = NULL, last_volume_measurement = NULL WHERE trigger_id = %s",
            (stored.record.id,),
        )
    return saved


async def _move(connection: Connection, stored: StoredDefinition, status: Status, now: datetime) -> None:
    body = stored.body
    due = next_time(stored.record.id, body["trigger_type"], body["schedule_config"], now)
    if status != "active":
        due = NextTime()
    await connection.execute(
        "UPDATE trigger_state SET next_scheduled_at = %(next)s, next_due_at = %(due)s, decided_at = %(now)s,"
        " anchor_at = coalesce(%(next)s, anchor_at), buffered_at = NULL, skipping = NULL, updated_at = now()"
        " WHERE trigger_id = %(trigger)s",
        {"next": due.next_scheduled_at, "due": due.next_due_at, "now": now, "trigger": stored.record.id},
    )


async def resolved(
    connection: Connection,
    namespace_id: str,
    trigger_type: str,
    schedule_config: JsonObject,
    collection_ids: Sequence[str],
) -> tuple[JsonObject, list[str]]:
    """The schedule with what it names as ids, and the collections the trigger watches: the one it names, else
    the action's. Raises 404, and 409 for a trigger that would watch nothing."""
    schedule, watched = dict(schedule_config), list(collection_ids)
    if (named := schedule.get("alert_id")) is not None:
        schedule["alert_id"] = (await require(connection, "alert", namespace_id, named)).record.id
    if (named := schedule.get("collection_id")) is not None:
        schedule["collection_id"] = (await require(connection, "collection", namespace_id, named)).record.id
        watched = [schedule["collection_id"]]
    if trigger_type in ("event", "conditional") and not watched:
        raise conflict(
            "The action is about no collection: name the one to watch", "body", "schedule_config", "collection_id"
        )
    return schedule, watched


async def list_window(
    connection: Connection,
    family: TriggerFamily,
    namespace_id: str,
    wanted: WindowedListRequest,
    matches: JsonObject,
) -> tuple[list[tuple[StoredDefinition, TriggerState]], int]:
    """One window of a family and the total. ``matches``: ``status``, ``resource_id``, and keys of the body."""
    where = "d.kind = %(kind)s AND d.namespace_id = %(namespace)s AND d.deleted_at IS NULL"
    values: dict[str, object] = {
        "kind": family,
        "namespace": namespace_id,
        "limit": wanted.limit,
        "offset": wanted.offset,
    }
    for key, value in matches.items():
        if value is None:
            continue
        if key == "status":
            where += " AND s.status = %(status)s"
        elif key == "resource_id":
            options = [f"d.body->'action_config'->>'{name}' = %(resource_id)s" for name in RESOURCE_KEYS]
            where += f" AND ({' OR '.join(options)})"
        else:
            where += f" AND d.body->>'{key}' = %({key})s"
        values[key] = value
    source = f"FROM definitions AS d JOIN trigger_state AS s ON s.trigger_id = d.id WHERE {where}"
    total = await _total(connection, family, namespace_id, source, values, matches)
    direction = "DESC" if wanted.direction == "desc" else "ASC"
    async with connection.cursor(row_factory=class_row(TriggerState)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} {source} ORDER BY {_SORTS[wanted.sort_by]} {direction} NULLS LAST,"
            f" d.id {direction} LIMIT %(limit)s OFFSET %(offset)s".encode(),
            values,
        )
        states = await cursor.fetchall()
    rows = await select_definitions(
        connection,
        "d.kind = %(kind)s AND d.namespace_id = %(namespace)s AND d.id = ANY(%(ids)s)",
        {"kind": family, "namespace": namespace_id, "ids": [state.trigger_id for state in states]},
    )
    by_id = {row.record.id: row for row in rows}
    return [(by_id[state.trigger_id], state) for state in states if state.trigger_id in by_id], total


async def _total(
    connection: Connection,
    family: TriggerFamily,
    namespace_id: str,
    source: str,
    values: JsonObject,
    matches: JsonObject,
) -> int:
    """How many of a family fit. What they are about is no facet of the ledger: then they are counted."""
    asked = {key: value for key, value in matches.items() if value is not None}
    facets = {key: value for key, value in asked.items() if key in _FACETS}
    most = await listed(connection, family, namespace_id, **facets)
    if facets == asked:
        return most
    refuse_many(most, "triggers by what they are about")
    return await counted(connection, source, values, "triggers by what they are about")
