"""The definitions of one namespace by id or name, for those who are given a name (contract 1.6)."""

from collections.abc import Mapping
from typing import Any

from schemas.events.definition import DefinitionRecord, Kind
from streams.runtime.catalog import Catalog


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
