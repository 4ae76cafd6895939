"""The standing alerts of every collection that documents came to, kept as definitions change."""

import asyncio
from collections.abc import Callable, Iterator
from typing import TypeAlias

import structlog

from schemas.events.definition import DefinitionRecord
from streams.engines.retrieval.execution.look_up import takes_from_document
from streams.match.alerts import Changes, Standing, after, standing_alerts, standing_in_steps
from streams.runtime.catalog import Catalog

log = structlog.get_logger(__name__)

CollectionKey: TypeAlias = tuple[str, str]
"""Namespace and collection."""


class Standings:
    """Reads the alerts of a collection when its first document comes, and follows their changes from then on."""

    def __init__(self, catalog: Callable[[], Catalog]) -> None:
        self._catalog = catalog
        self._standings: dict[CollectionKey, Standing] = {}
        self._reading: dict[CollectionKey, list[DefinitionRecord]] = {}
        """Collections that are being read, and what has changed since it began."""

    def of(self, namespace_id: str, collection_id: str) -> Standing:
        """The alerts of a collection; none for one that is unknown."""
        key = (namespace_id, collection_id)
        found = self._standings.get(key)
        if found is not None:
            return found
        catalog = self._catalog()
        standing = standing_alerts(catalog, namespace_id, collection_id)
        # An unknown one is not remembered: anybody may write any name into the topic.
        if catalog.get("collection", namespace_id, collection_id) is not None:
            self._keep(key, standing)
        return standing

    async def read(self, namespace_id: str, collection_id: str) -> None:
        """Read the alerts of a collection before :meth:`of` is asked for them. A hundred thousand take seconds, so
        the event loop has its turn in between."""
        key = (namespace_id, collection_id)
        if key in self._standings or self._catalog().get("collection", *key) is None:
            return
        changed = self._reading[key] = []
        standing: Standing | None = None
        try:
            for step in standing_in_steps(self._catalog(), *key):
                standing = step
                await asyncio.sleep(0)
        finally:
            del self._reading[key]
        assert standing is not None
        for record in changed:
            standing, _ = after(standing, self._catalog(), *key, record)
        if key not in self._standings and self._catalog().get("collection", *key) is not None:
            self._keep(key, standing)

    def _keep(self, key: CollectionKey, standing: Standing) -> None:
        self._standings[key] = standing
        _tell(key[1], standing, Standing())

    def references(self) -> frozenset[CollectionKey]:
        """The collections that must be at hand for the alerts in force to be checked."""
        return frozenset(
            (namespace_id, collection_id)
            for (namespace_id, _), standing in self._standings.items()
            for alert in standing.more
            for collection_id in alert.references
        )

    def prepare(self, changed: DefinitionRecord | None = None) -> None:
        """Read the alerts of every collection, or of the changed one, that has some with an input from the
        document, so that what they name is at hand when the first document comes."""
        for collection in self._catalog().of("collection") if changed is None else (changed,):
            if any(takes_from_document(item) for item in collection.body.get("alert_applications") or ()):
                self.of(collection.namespace_id, collection.id)

    def change(self, record: DefinitionRecord) -> Iterator[tuple[CollectionKey, Changes]]:
        """Take in one change of definitions, already in the catalog. Gives what became of the percolated alerts of
        each collection where anything did."""
        for key, changed_meanwhile in self._reading.items():
            if key[0] == record.namespace_id:
                changed_meanwhile.append(record)
        for key, before in list(self._standings.items()):
            if key[0] != record.namespace_id:
                continue
            now, changed = after(before, self._catalog(), *key, record)
            if now is before:
                continue
            if record.kind == "collection" and record.deleted:
                del self._standings[key]
            else:
                self._standings[key] = now
                _tell(key[1], now, before)
            if changed.removed or changed.added:
                yield key, changed


def _tell(collection_id: str, now: Standing, before: Standing) -> None:
    told = set(before.refused)
    for alert_id, reason in now.refused:
        if (alert_id, reason) not in told:
            log.warning("alert_not_checked", alert=alert_id, collection=collection_id, reason=reason)
