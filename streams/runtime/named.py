"""The definitions of one namespace by id or name, for those who are given a name (contract 1.6)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from schemas.api.named import named_by_stages, named_by_taxonomy
from schemas.events.definition import DefinitionRecord, Kind
from streams.runtime.catalog import Catalog
from streams.runtime.database import Connection
from streams.runtime.definitions import select_definitions

_Reference: TypeAlias = tuple[str, str]
"""Kind and identifier."""


class NamedDefinitions:
    """Bodies by id or name, as a catalog has them at the moment of asking."""

    def __init__(self, catalog: Catalog, namespace_id: str) -> None:
        self._catalog = catalog
        self._namespace_id = namespace_id

    def retriever(self, identifier: str) -> Mapping[str, Any] | None:
        """A retriever's body."""
        found = self._find("retriever", identifier)
        return None if found is None else found.body

    def taxonomy(self, identifier: str) -> Mapping[str, Any] | None:
        """A taxonomy's body."""
        found = self._find("taxonomy", identifier)
        return None if found is None else found.body

    def collection_id(self, identifier: str) -> str | None:
        """The id of a collection."""
        found = self._find("collection", identifier)
        return None if found is None else found.id

    def _find(self, kind: Kind, identifier: str) -> DefinitionRecord | None:
        by_id = self._catalog.get(kind, self._namespace_id, identifier)
        if by_id is not None:
            return by_id
        for record in self._catalog.of(kind):
            if record.namespace_id == self._namespace_id and record.name == identifier:
                return record
        return None


async def named_definitions(
    connection: Connection, namespace_id: str, retrievers: Iterable[Mapping[str, Any]]
) -> NamedDefinitions:
    """Everything that the stages of these retriever bodies may name, directly or through other retrievers and
    taxonomies, as the transaction sees it."""
    found = await select_definitions(
        connection, "d.namespace_id = %(namespace)s AND d.kind = 'collection'", {"namespace": namespace_id}
    )
    records = [stored.record for stored in found]
    known: set[_Reference] = set()
    asked = {reference for retriever in retrievers for reference in _named("retriever", retriever)}
    while asked := asked - known:
        known |= asked
        found = await select_definitions(
            connection,
            "d.namespace_id = %(namespace)s AND EXISTS (SELECT FROM unnest(%(kinds)s::text[], %(names)s::text[])"
            " AS asked (kind, name) WHERE d.kind = asked.kind AND (d.id = asked.name OR d.name = asked.name))",
            {
                "namespace": namespace_id,
                "kinds": [kind for kind, _ in asked],
                "names": [name for _, name in asked],
            },
        )
        records += [stored.record for stored in found]
        asked = {reference for stored in found for reference in _named(stored.record.kind, stored.body)}
    return NamedDefinitions(Catalog("", 0, records), namespace_id)


def _named(kind: Kind, body: Mapping[str, Any]) -> Iterator[_Reference]:
    places = named_by_stages(body["stages"]) if kind == "retriever" else named_by_taxonomy(body["config"])
    for place in places:
        if place.kind != "collection":
            for name in place.names:
                yield place.kind, name
