"""The definitions an execution may name: collections by name, and the retrievers and taxonomies it mentions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from streams.runtime.database import Connection

_ROUNDS: Final = 6
"""How far retrievers name taxonomies that name retrievers; executions nest no deeper."""


@dataclass(frozen=True, slots=True)
class Named:
    """A ``Definitions`` as of one snapshot."""

    collections: Mapping[str, str]
    bodies: Mapping[tuple[str, str], Mapping[str, Any]]
    """Kind and id or name → body."""

    def retriever(self, identifier: str) -> Mapping[str, Any] | None:
        """A retriever's body."""
        return self.bodies.get(("retriever", identifier))

    def taxonomy(self, identifier: str) -> Mapping[str, Any] | None:
        """A taxonomy's body."""
        return self.bodies.get(("taxonomy", identifier))

    def collection_id(self, identifier: str) -> str | None:
        """The id of a collection."""
        return self.collections.get(identifier)


async def read_named(connection: Connection, namespace_id: str, *mentions: Any) -> Named:
    """What any text in ``mentions`` (stages, inputs) may be the id or name of, and what those mention in turn."""
    cursor = await connection.execute(
        "SELECT id, name FROM definitions WHERE kind = 'collection' AND namespace_id = %s AND deleted_at IS NULL",
        (namespace_id,),
    )
    rows = await cursor.fetchall()
    # An id wins over another's equal name.
    collections = {row[1]: row[0] for row in rows} | {row[0]: row[0] for row in rows}
    bodies: dict[tuple[str, str], Mapping[str, Any]] = {}
    asked: set[str] = set()
    new = {text for mention in mentions for text in _texts(mention)}
    for _ in range(_ROUNDS):
        new -= asked
        if not new:
            break
        asked |= new
        cursor = await connection.execute(
            "SELECT kind, id, name, body FROM definitions WHERE kind IN ('retriever', 'taxonomy')"
            " AND namespace_id = %s AND deleted_at IS NULL AND (id = ANY(%s) OR name = ANY(%s))",
            (namespace_id, list(new), list(new)),
        )
        found = await cursor.fetchall()
        new = {text for row in found for text in _texts(row[3])}
        for kind, _, name, body in found:
            bodies.setdefault((kind, name), body)
        bodies.update({(kind, identifier): body for kind, identifier, _, body in found})
    return Named(collections, bodies)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value that can be an id or a name."""
    if isinstance(value, str):
        if value and len(value) <= 1_024 and "\x00" not in value:
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list) and not (value and type(value[0]) is float):
        for item in value:
            yield from _texts(item)
