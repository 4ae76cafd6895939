"""Chunks of documents against the percolated alerts of their collections.

The percolators work in a thread of their own: numpy lets go of the interpreter during a matrix product, so the
event loop decodes the next chunk and writes the results of the last one meanwhile. What alerts there are is
decided in the event loop when a chunk is handed over; the thread takes changes in in the same order.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from schemas.events.alert_result import AlertResultRecord
from schemas.events.document import UPSERTED
from schemas.ids import ExecutionHasher
from streams.engines.retrieval.percolate.percolator import Hit
from streams.match.alerts import Changes, Standing, StandingAlert
from streams.match.arrivals import Arrival
from streams.match.compiled import Compiled
from streams.match.counting import Counting
from streams.match.results import Checked, Result, compose, contributed, results
from streams.match.standings import CollectionKey, Standings
from streams.runtime.catalog import Catalog
from streams.runtime.clock import Clock


@dataclass(slots=True)
class Group:
    """Documents of one collection, and what the percolator found."""

    collection: CollectionKey
    standing: Standing
    """The alerts in force when the documents were handed over."""
    arrivals: list[Arrival] = field(default_factory=list)
    fired: list[list[bytes]] = field(default_factory=list)
    """Per document its executions as bytes, where the document alone decides."""
    hits: list[list[Hit[StandingAlert]]] = field(default_factory=list)
    """Per document its hits, where some alerts need more than the document."""
    added: list[list[bytes]] = field(default_factory=list)
    """Per document what it adds to windows, where there are any."""


@dataclass(slots=True)
class Percolation:
    """A chunk in the hands of the thread."""

    groups: asyncio.Future[list[Group]]
    executed_at: datetime
    started: float
    definitions_version: int


@dataclass(slots=True)
class Undecided:
    """Documents of a collection that has alerts which need more than the document, and what the percolated alerts
    say of them."""

    standing: Standing
    arrivals: Sequence[Arrival]
    records: Sequence[AlertResultRecord]


@dataclass(slots=True)
class Matched:
    """What a chunk set off."""

    results: list[Result] = field(default_factory=list)
    """One record per document that fired, those of one collection together."""
    undecided: list[Undecided] = field(default_factory=list)


class Matcher:
    """Compiles the alerts of collections when their documents come, and matches."""

    def __init__(self, standings: Standings, catalog: Callable[[], Catalog], clock: Clock) -> None:
        self._standings = standings
        self._catalog = catalog
        self._clock = clock
        self._known: dict[CollectionKey, int] = {}
        """Collections that are compiled, or will be before the next chunk, and how many alerts they have."""
        self._changes: list[tuple[CollectionKey, Changes]] = []
        """What the thread has to take in before the next chunk."""
        self._compiled: dict[CollectionKey, Compiled] = {}
        """The thread's own."""
        self._counting: dict[CollectionKey, Counting] = {}
        """The thread's own, of alerts that are decided over a window."""
        self._thread = ThreadPoolExecutor(1, "percolator")

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def change(self, key: CollectionKey, changes: Changes) -> None:
        """Take alerts of a collection out and in, without compiling the others again."""
        if key in self._known:
            self._changes.append((key, changes))
            self._known[key] += len(changes.added) - len(changes.removed)
            if not self._known[key]:
                del self._known[key]

    async def percolate(self, arrivals: Sequence[Arrival]) -> Percolation:
        """Begin to check a chunk of documents by the definitions in force when this returns. Chunks are checked in
        the order in which they were begun."""
        keyed: defaultdict[CollectionKey, list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            event = arrival.event
            if event.type == UPSERTED:
                keyed[event.namespace_id, event.collection_id].append(arrival)
        for key in keyed:
            await self._standings.read(*key)
        groups = [Group(key, self._standing(key), found) for key, found in keyed.items()]
        changes, self._changes = self._changes, []
        return Percolation(
            asyncio.get_running_loop().run_in_executor(self._thread, self._percolate, changes, groups),
            self._clock(),
            time.monotonic(),
            self._catalog().version,
        )

    async def matched(self, percolation: Percolation, hasher: ExecutionHasher) -> Matched:
        """What a chunk set off, as far as the documents alone decide."""
        groups = await percolation.groups
        duration_ms = int((time.monotonic() - percolation.started) * 1_000)
        checked = Checked(percolation.executed_at, duration_ms, percolation.definitions_version)
        matched = Matched()
        for group in groups:
            # In the order of the log within a collection: readers drop what they have by its offset.
            matched.results += contributed(group.arrivals, group.added, checked, hasher)
            if group.standing.more:
                records = [
                    record
                    for arrival, hits in zip(group.arrivals, group.hits, strict=True)
                    if hits and (record := compose(arrival, hits, checked, hasher)) is not None
                ]
                matched.undecided.append(Undecided(group.standing, group.arrivals, records))
            else:
                matched.results += results(group.arrivals, group.fired, checked, hasher)
        return matched

    def _standing(self, key: CollectionKey) -> Standing:
        """The alerts of a collection, its percolated ones compiled before its documents come to them."""
        standing = self._standings.of(*key)
        if key not in self._known and (alerts := standing.alerts):
            self._known[key] = len(alerts)
            self._changes.append((key, Changes(added=alerts)))
        return standing

    def _percolate(self, changes: Sequence[tuple[CollectionKey, Changes]], groups: list[Group]) -> list[Group]:
        """In the thread."""
        for key, change in changes:
            now, over_time = change.by_window()
            compiled = self._compiled.setdefault(key, Compiled())
            compiled.remove(now.removed)
            compiled.add(now.added)
            if not len(compiled):
                del self._compiled[key]
            if over_time.removed or over_time.added:
                windowed = self._counting.setdefault(key, Counting())
                windowed.change(over_time.removed, over_time.added)
                if not len(windowed):
                    del self._counting[key]
        for group in groups:
            held = self._compiled.get(group.collection)
            if (counting := self._counting.get(group.collection)) is not None:
                group.added = counting.contributions(group.arrivals)
            if group.standing.more:
                group.hits = [[] for _ in group.arrivals] if held is None else held.hits(group.arrivals)
            elif held is not None:
                group.fired = held.executions(group.arrivals)
        return groups
