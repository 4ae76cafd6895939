"""The definitions of one namespace by id or name, for those who are given a name (contract 1.6)."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from schemas.events.definition import DefinitionRecord, Kind
from streams.runtime.catalog import Catalog
from streams.runtime.database import Connection
from streams.runtime.definitions import select_definitions

_LONGEST_NAME: Final = 1_024


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


async def named_definitions(connection: Connection, namespace_id: str, *mentions: Any) -> NamedDefinitions:
    """As the transaction sees them, the collections of a namespace, and the retrievers and taxonomies that any
    text in ``mentions`` (stages, inputs that templates are filled with) may be the id or name of, with those that
    their bodies mention in turn."""
    found = await select_definitions(
        connection, "d.namespace_id = %(namespace)s AND d.kind = 'collection'", {"namespace": namespace_id}
    )
    records = [stored.record for stored in found]
    known: set[str] = set()
    new = set(_texts(mentions))
    while new := new - known:
        known |= new
        found = await select_definitions(
            connection,
            "d.namespace_id = %(namespace)s AND d.kind IN ('retriever', 'taxonomy')"
            " AND (d.id = ANY(%(names)s) OR d.name = ANY(%(names)s))",
            {"namespace": namespace_id, "names": list(new)},
        )
        records += [stored.record for stored in found]
        new = {text for stored in found for text in _texts(stored.body)}
    return NamedDefinitions(Catalog("", 0, records), namespace_id)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value that can be an id or a name."""
    if isinstance(value, str):
        if 0 < len(value) <= _LONGEST_NAME and "\x00" not in value:
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple) and not (value and type(value[0]) is float):
        for item in value:
            yield from _texts(item)
