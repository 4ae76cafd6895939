"""The compiled alerts of all collections, and documents by collection that are checked against them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from streams.engines.retrieval.percolate.percolator import Begun, Hit
from streams.match.alerts import Changes, Standing, StandingAlert
from streams.match.arrivals import Arrival
from streams.match.compiled import Compiled
from streams.match.counting import Counting
from streams.match.standings import CollectionKey


@dataclass(slots=True)
class Group:
    """Documents of one collection, and what the percolator found."""

    collection: CollectionKey
    standing: Standing
    """The alerts in force when the documents were handed over."""
    arrivals: list[Arrival] = field(default_factory=list)
    begun: Begun | None = None
    """Until it is finished, where there are alerts that the documents alone decide."""
    fired: list[list[bytes]] = field(default_factory=list)
    """Per document its executions as bytes, where the document alone decides."""
    hits: list[list[Hit[StandingAlert]]] = field(default_factory=list)
    """Per document its hits, where some alerts need more than the document."""
    added: list[list[bytes]] = field(default_factory=list)
    """Per document what it adds to windows, where there are any."""


class Collections:
    """Compiles the alerts of collections, and checks documents in two halves: between them another thread may take
    the products of vectors. Apart from that, one thread at a time. Alerts change when no group is begun."""

    def __init__(self) -> None:
        self._compiled: dict[CollectionKey, Compiled] = {}
        self._counting: dict[CollectionKey, Counting] = {}
        """Of alerts that are decided over a window."""

    def change(self, key: CollectionKey, change: Changes) -> None:
        """Take alerts of a collection out and in."""
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

    def begin(self, groups: Sequence[Group]) -> None:
        """The first half, up to the products."""
        for group in groups:
            if (held := self._compiled.get(group.collection)) is not None:
                group.begun = held.begin(group.arrivals)

    def finish(self, groups: Sequence[Group]) -> None:
        """The second half: what the documents set off."""
        for group in groups:
            if (counting := self._counting.get(group.collection)) is not None:
                group.added = counting.contributions(group.arrivals)
            begun, group.begun = group.begun, None
            if begun is None:
                if group.standing.more:
                    group.hits = [[] for _ in group.arrivals]
                continue
            held = self._compiled[group.collection]
            if group.standing.more:
                group.hits = held.hits(begun)
            else:
                group.fired = held.executions(group.arrivals, begun)
