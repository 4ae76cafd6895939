"""Chunks of documents against the standing alerts of their collections."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from schemas.events.alert_result import AlertResultRecord
from schemas.ids import ExecutionHasher
from streams.engines.retrieval.percolate.percolator import Percolator
from streams.engines.retrieval.percolate.plan import Plan
from streams.match.alerts import Changes, StandingAlert
from streams.match.arrivals import Arrival
from streams.match.results import Checked, compose
from streams.match.standings import Standings
from streams.runtime.catalog import Catalog
from streams.runtime.clock import Clock


@dataclass(slots=True)
class _Compiled:
    """The percolated alerts of one collection."""

    percolator: Percolator[StandingAlert]
    numbers: dict[int, int]
    """Alert number → its number in the percolator."""


class Matcher:
    """Compiles the alerts of collections when their documents come, and matches."""

    def __init__(self, standings: Standings, catalog: Callable[[], Catalog], clock: Clock) -> None:
        self._standings = standings
        self._catalog = catalog
        self._clock = clock
        self._compiled: dict[tuple[str, str], _Compiled] = {}

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

    def change(self, key: tuple[str, str], changes: Changes) -> None:
        """Take alerts of a collection out and in, without compiling the others again."""
        compiled = self._compiled.get(key)
        if compiled is None:
            return
        for alert in changes.removed:
            compiled.percolator.remove(compiled.numbers.pop(alert.number))
        for alert in changes.added:
            compiled.numbers[alert.number] = compiled.percolator.add(alert)
        if not compiled.numbers:
            del self._compiled[key]

    def _percolator(self, namespace_id: str, collection_id: str) -> Percolator[StandingAlert] | None:
        """The compiled alerts of a collection; ``None`` when it has none or is unknown."""
        key = (namespace_id, collection_id)
        compiled = self._compiled.get(key)
        if compiled is not None:
            return compiled.percolator
        alerts = self._standings.of(namespace_id, collection_id).alerts
        if not alerts:
            return None
        compiled = _Compiled(Percolator((), plan_of), {})
        self._compiled[key] = compiled
        self.change(key, Changes(added=alerts))
        return compiled.percolator


def plan_of(alert: StandingAlert) -> Plan:
    """The plan of an alert that is percolated."""
    assert alert.plan is not None
    return alert.plan
