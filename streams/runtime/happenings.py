"""Telling webhooks what happened: in the transaction it happened in, or not at all.

The station ``notify`` makes deliveries of the rows. Where no active webhook wants a type nothing is written, so
that a server without webhooks pays one look at an index.
"""

import secrets
from collections.abc import Sequence

import orjson

from schemas.events.definition import DefinitionRecord
from schemas.events.happening import EventType, Happening
from streams.runtime.database import Connection

_WANTED = (
    "EXISTS (SELECT FROM definitions AS w WHERE w.kind = 'webhook' AND w.namespace_id = ''"
    " AND w.deleted_at IS NULL AND (w.body->>'enabled')::boolean"
    " AND w.body->'event_types' ? t.event_type)"
)
_TELL = (
    "INSERT INTO webhook_events (event_id, event_type, namespace_id, subject_id, metadata, occurred_at)"
    " SELECT t.event_id, t.event_type, t.namespace_id, t.subject_id, t.metadata, coalesce(t.occurred_at, now())"
    " FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::bytea[], %b::timestamptz[])"
    " WITH ORDINALITY AS t (event_id, event_type, namespace_id, subject_id, metadata, occurred_at, n)"
    f" WHERE {_WANTED} ORDER BY t.n"
)
_TELL_CHANNELS = (
    "INSERT INTO webhook_events (event_id, event_type, namespace_id, subject_id, metadata, occurred_at)"
    " VALUES (%b, %b, %b, %b, %b, coalesce(%b::timestamptz, now()))"
)
_CREATED: dict[str, EventType] = {
    "collection": "collection.created",
    "cluster": "cluster.created",
    "taxonomy": "taxonomy.created",
    "alert": "alert.created",
    "trigger": "trigger.created",
    "cluster_trigger": "trigger.created",
}
_UPDATED: dict[str, EventType] = {
    "collection": "collection.updated",
    "cluster": "cluster.updated",
    "taxonomy": "taxonomy.updated",
    "alert": "alert.updated",
    "trigger": "trigger.updated",
    "cluster_trigger": "trigger.updated",
}
_DELETED: dict[str, EventType] = {
    "collection": "collection.deleted",
    "cluster": "cluster.deleted",
    "taxonomy": "taxonomy.deleted",
    "alert": "alert.deleted",
}


async def wanted_types(connection: Connection, types: Sequence[EventType]) -> set[EventType]:
    """Those of these types that some active webhook wants: for who would have to work to tell of them."""
    cursor = await connection.execute(
        f"SELECT t.event_type FROM unnest(%s::text[]) AS t (event_type) WHERE {_WANTED}".encode(), (list(types),)
    )
    found = {row[0] for row in await cursor.fetchall()}
    return {item for item in types if item in found}


async def tell(connection: Connection, happenings: Sequence[Happening]) -> None:
    """Tell of these in the caller's transaction, in order."""
    if not happenings:
        return
    await connection.execute(
        _TELL.encode(),
        (
            [item.event_id or f"evt_{secrets.token_hex(12)}" for item in happenings],
            [item.type for item in happenings],
            [item.namespace_id for item in happenings],
            [item.subject_id for item in happenings],
            [orjson.dumps(item.metadata, option=orjson.OPT_NON_STR_KEYS) for item in happenings],
            [item.occurred_at for item in happenings],
        ),
    )


async def tell_channels(connection: Connection, item: Happening) -> None:
    """Tell the channels of the subject itself, in the caller's transaction."""
    metadata = orjson.dumps(item.metadata, option=orjson.OPT_NON_STR_KEYS)
    await connection.execute(
        _TELL_CHANNELS,
        (item.event_id, item.type, item.namespace_id, item.subject_id, metadata, item.occurred_at),
    )


async def tell_written(connection: Connection, record: DefinitionRecord, *, created: bool) -> None:
    """Tell that a definition was created or changed, where there is a word for it."""
    kind = (_CREATED if created else _UPDATED).get(record.kind)
    if kind is not None:
        await tell(connection, [_about(record, kind)])


async def tell_deleted(connection: Connection, record: DefinitionRecord) -> None:
    """Tell that a definition was deleted, where there is a word for it."""
    kind = _DELETED.get(record.kind)
    if kind is not None:
        await tell(connection, [_about(record, kind)])


def _about(record: DefinitionRecord, kind: EventType) -> Happening:
    metadata = {f"{record.kind.removeprefix('cluster_')}_id": record.id, "version": record.version.number}
    if record.name is not None:
        metadata["name"] = record.name
    return Happening(kind, record.namespace_id, record.id, metadata)
