"""Chunks of documents against the standing alerts of their collections."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from schemas.events.alert_result import AlertResultRecord
from schemas.ids import ExecutionHasher
from streams.engines.retrieval.percolate.percolator import Hit, Percolator
from streams.engines.retrieval.percolate.plan import Plan
from streams.match.alerts import FIRST, Changes, Order, StandingAlert
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
    last: Order = FIRST
    """The order of the alert that was added last."""
    ordered: bool = True
    """Alerts were added in the order they are checked, which is then the order of hits."""

    def add(self, alert: StandingAlert) -> None:
        """Check an alert from now on."""
        self.numbers[alert.number] = self.percolator.add(alert)
        self.ordered = self.ordered and self.last <= alert.order
        self.last = alert.order

    def match(self, arrivals: Sequence[Arrival]) -> list[list[Hit[StandingAlert]]]:
        """For each document its hits, in the order their alerts are checked."""
        found = self.percolator.match([arrival.event for arrival in arrivals])
        if self.ordered:
            return found
        return [sorted(hits, key=lambda hit: hit.alert.order) if len(hits) > 1 else hits for hits in found]


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
            if (compiled := self._of(*key)) is not None
            for arrival, hits in zip(group, compiled.match(group), strict=True)
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
            compiled.add(alert)
        if not compiled.numbers:
            del self._compiled[key]

    def _of(self, namespace_id: str, collection_id: str) -> _Compiled | None:
        """The compiled alerts of a collection; ``None`` when it has none or is unknown."""
        key = (namespace_id, collection_id)
        compiled = self._compiled.get(key)
        if compiled is not None:
            return compiled
        alerts = self._standings.of(namespace_id, collection_id).alerts
        if not alerts:
            return None
        compiled = _Compiled(Percolator((), plan_of), {})
        self._compiled[key] = compiled
        self.change(key, Changes(added=alerts))
        return compiled


def plan_of(alert: StandingAlert) -> Plan:
    """The plan of an alert that is percolated."""
    assert alert.plan is not None
    return alert.plan
