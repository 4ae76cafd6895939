"""Chunks of documents against the standing alerts of their collections."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable

import structlog

from schemas.events.alert_result import AlertResultRecord
from schemas.events.definition import DefinitionRecord
from schemas.ids import ExecutionHasher
from streams.engines.retrieval.percolate.percolator import Percolator
from streams.match.alerts import StandingAlert, standing_alerts
from streams.match.arrivals import Arrival
from streams.match.results import Checked, compose
from streams.runtime.catalog import Catalog
from streams.runtime.clock import Clock

log = structlog.get_logger(__name__)


class Matcher:
    """Compiles the alerts of collections when their documents come, and matches."""

    def __init__(self, catalog: Callable[[], Catalog], clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        self._percolators: dict[tuple[str, str], Percolator[StandingAlert] | None] = {}

    def match(self, arrivals: Iterable[Arrival], hasher: ExecutionHasher) -> list[AlertResultRecord]:
        """The results of a chunk of documents by the definitions in force now: one record per document that
        fired, those of one collection together."""
        started, executed_at = time.monotonic(), self._clock()
        collections: defaultdict[tuple[str, str], list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            collections[arrival.event.namespace_id, arrival.event.collection_id].append(arrival)
        found = [
            (arrival, hits)
            for key, group in collections.items()
            if (percolator := self._percolator(*key)) is not None
            for arrival, hits in zip(group, percolator.match([item.event for item in group]), strict=True)
            if hits
        ]
        duration_ms = int((time.monotonic() - started) * 1_000)
        checked = Checked(executed_at, duration_ms, self._catalog().version)
        records = (compose(arrival, hits, checked, hasher) for arrival, hits in found)
        return [record for record in records if record is not None]

    def forget(self, record: DefinitionRecord) -> None:
        """Compile a namespace's alerts again when something they depend on has changed."""
        if record.kind in ("collection", "retriever", "alert"):
            for key in [key for key in self._percolators if key[0] == record.namespace_id]:
                del self._percolators[key]

    def _percolator(self, namespace_id: str, collection_id: str) -> Percolator[StandingAlert] | None:
        """The compiled alerts of a collection; ``None`` when it has none or is unknown."""
        key = (namespace_id, collection_id)
        if key not in self._percolators:
            if self._catalog().get("collection", namespace_id, collection_id) is None:
                # Not remembered: anybody may write any name into the topic.
                return None
            standing = standing_alerts(self._catalog(), namespace_id, collection_id)
            for alert_id, reason in standing.refused:
                log.warning("alert_not_checked", alert=alert_id, collection=collection_id, reason=reason)
            alerts = standing.alerts
            self._percolators[key] = Percolator(alerts, lambda alert: alert.plan) if alerts else None
        return self._percolators[key]
