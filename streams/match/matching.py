"""Chunks of documents against the percolated alerts of their collections.

A chunk that is soon done is checked where the event loop runs. Python runs one thread at a time, so a second one
would only wait for the first and it for the second, some 8 µs a document; but numpy lets go of the interpreter
during a product of matrices, so those are taken in a thread while the event loop writes the results of the chunk
before and decodes the next. What takes long goes into that thread whole, for the loop has others to serve: a
chunk that would be in hand for longer than :data:`LONG_SECONDS`, and alerts to be compiled. What alerts there are
is decided in the event loop when a chunk is handed over.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from schemas.events.alert_result import AlertResultRecord
from schemas.events.document import UPSERTED
from schemas.ids import ExecutionHasher
from streams.engines.retrieval.percolate.percolator import Begun
from streams.match.alerts import Changes, Standing
from streams.match.arrivals import Arrival
from streams.match.groups import Collections, Group
from streams.match.results import Checked, Result, compose, contributed, results
from streams.match.standings import CollectionKey, Standings
from streams.runtime.catalog import Catalog
from streams.runtime.clock import Clock

LONG_SECONDS: Final = 0.05
"""Nobody else's work waits longer than about this for a chunk."""
WORTH_A_THREAD: Final = 10_000_000
"""Multiplications that take some 0.3 ms: handing less to a thread costs more than it brings."""


@dataclass(eq=False, slots=True)
class Percolation:
    """A chunk in hand."""

    groups: list[Group]
    executed_at: datetime
    started: float
    definitions_version: int
    in_thread: bool
    """Whether the thread does all of it, or at most the products."""
    ahead: asyncio.Future[float] | None = None
    """What the thread does; seconds of processor time."""
    seconds: float = 0.0
    """Of processor time that it took in the event loop's thread."""


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
        """What is to be taken in before the next chunk."""
        self._collections = Collections()
        self._begun: deque[Percolation] = deque()
        """Chunks that are not finished, in order."""
        self._pace = LONG_SECONDS
        """What a document took last, in seconds of processor time. Nobody knows what the first will take."""
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
        """Begin to check a chunk of documents, by the definitions in force when those of its collections have been
        read. Chunks are checked in the order in which they are begun."""
        keyed = _by_collection(arrivals)
        for key in keyed:
            await self._standings.read(*key)
        groups = [Group(key, self._standing(key), found) for key, found in keyed.items()]
        changes, self._changes = self._changes, []
        in_thread = bool(changes) or self._pace * len(arrivals) > LONG_SECONDS
        percolation = Percolation(groups, self._clock(), time.monotonic(), self._catalog().version, in_thread)
        if self._begun and self._begun[-1].in_thread is not in_thread:
            try:
                await self.finished(self._begun[-1])
            except BaseException:
                self._changes[:0] = changes
                raise
        loop = asyncio.get_running_loop()
        if in_thread:
            percolation.ahead = loop.run_in_executor(self._thread, self._all, changes, groups)
        else:
            began = time.thread_time()
            self._collections.begin(groups)
            begun = [group.begun for group in groups if group.begun is not None]
            if sum(one.multiplications for one in begun) > WORTH_A_THREAD:
                percolation.ahead = loop.run_in_executor(self._thread, _multiply, begun)
            percolation.seconds = time.thread_time() - began
        self._begun.append(percolation)
        return percolation

    async def finished(self, percolation: Percolation) -> None:
        """Wait until a chunk is checked, and all that were begun before it: also those that nobody asks for any
        more, because the batch they belong to failed."""
        while percolation in self._begun:
            await self._finish(self._begun.popleft())

    async def _finish(self, percolation: Percolation) -> None:
        if percolation.ahead is not None:
            percolation.seconds += await percolation.ahead
        if not percolation.in_thread:
            began = time.thread_time()
            self._collections.finish(percolation.groups)
            percolation.seconds += time.thread_time() - began
        if documents := sum(len(group.arrivals) for group in percolation.groups):
            self._pace = percolation.seconds / documents

    async def matched(self, percolation: Percolation, hasher: ExecutionHasher) -> Matched:
        """What a chunk set off, as far as the documents alone decide."""
        await self.finished(percolation)
        duration_ms = int((time.monotonic() - percolation.started) * 1_000)
        checked = Checked(percolation.executed_at, duration_ms, percolation.definitions_version)
        matched = Matched()
        for group in percolation.groups:
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

    def _all(self, changes: Sequence[tuple[CollectionKey, Changes]], groups: Sequence[Group]) -> float:
        """In the thread."""
        for key, change in changes:
            self._collections.change(key, change)
        began = time.thread_time()
        self._collections.begin(groups)
        self._collections.finish(groups)
        return time.thread_time() - began


def _by_collection(arrivals: Sequence[Arrival]) -> dict[CollectionKey, list[Arrival]]:
    """The upserts of each collection. Those of one often follow each other."""
    keyed: dict[CollectionKey, list[Arrival]] = {}
    namespace_id = collection_id = ""
    together: list[Arrival] = []
    for arrival in arrivals:
        event = arrival.event
        if event.type != UPSERTED:
            continue
        if event.collection_id != collection_id or event.namespace_id != namespace_id:
            namespace_id, collection_id = event.namespace_id, event.collection_id
            together = keyed.setdefault((namespace_id, collection_id), [])
        together.append(arrival)
    return keyed


def _multiply(begun: Sequence[Begun]) -> float:
    """In the thread."""
    began = time.thread_time()
    for one in begun:
        one.multiply()
    return time.thread_time() - began
