"""Definitions that name others: identifiers become ids when they are written, and what is named stays."""

from collections.abc import Iterable

from schemas.api.named import NamedIn, NamedKind, named_by_stages, named_by_taxonomy
from streams.api.names import resource
from streams.api.store import require
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition, select_definitions
from streams.runtime.http.errors import conflict

_KEYS: dict[NamedKind, str] = {
    "collection": "collection_id",
    "retriever": "retriever_id",
    "taxonomy": "taxonomy_id",
}
_SHOWN = 5


async def with_ids(connection: Connection, namespace_id: str, places: Iterable[NamedIn]) -> None:
    """Put ids where names are. Raises 404 for what is not there."""
    for place in places:
        place.put([(await require(connection, place.kind, namespace_id, name)).record.id for name in place.names])


async def users_of(connection: Connection, kind: NamedKind, used: StoredDefinition) -> list[StoredDefinition]:
    """The taxonomies, and but for a collection the retrievers, that name a definition."""
    identifiers = {used.record.id, used.record.name}
    key = _KEYS[kind]
    found = await select_definitions(
        connection,
        "d.namespace_id = %(namespace)s AND d.kind = ANY(%(kinds)s)"
        " AND jsonb_path_exists(CASE d.kind WHEN 'retriever' THEN d.body -> 'stages' ELSE d.body -> 'config' END,"
        f" '$.**.{key} ? (@ == $id || @ == $name)',"
        " jsonb_build_object('id', %(id)s::text, 'name', %(name)s::text))"
        " ORDER BY d.created_at, d.id",
        {
            "namespace": used.record.namespace_id,
            "kinds": ["taxonomy"] if kind == "collection" else ["retriever", "taxonomy"],
            "id": used.record.id,
            "name": used.record.name,
        },
    )
    return [
        user
        for user in found
        if any(place.kind == kind and identifiers & set(place.names) for place in _places(user))
    ]


async def refuse_used(connection: Connection, kind: NamedKind, used: StoredDefinition) -> None:
    """Raises 409 for a definition that others cannot do without."""
    users = await users_of(connection, kind, used)
    if users:
        names = ", ".join(f"{resource(user.record.kind)} {user.record.name!r}" for user in users[:_SHOWN])
        raise conflict(
            f"The {resource(kind)} is used by {len(users)} other definition(s), among them {names}:"
            " change or delete those first",
            details={"used_by": [user.record.id for user in users[:50]]},
        )


async def retrievers_asking(connection: Connection, retriever: StoredDefinition) -> list[StoredDefinition]:
    """The retrievers that run another one inside them, directly or through taxonomies and other retrievers."""
    asking: dict[str, StoredDefinition] = {}
    waiting = [retriever]
    while waiting:
        one = waiting.pop()
        kind: NamedKind = "taxonomy" if one.record.kind == "taxonomy" else "retriever"
        for user in await users_of(connection, kind, one):
            if user.record.id not in asking:
                asking[user.record.id] = user
                waiting.append(user)
    return [user for user in asking.values() if user.record.kind == "retriever"]


def _places(user: StoredDefinition) -> Iterable[NamedIn]:
    if user.record.kind == "retriever":
        return named_by_stages(user.body["stages"])
    return named_by_taxonomy(user.body["config"])
