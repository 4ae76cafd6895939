"""Standing alerts against arriving documents, in batches (design section 4).

An alert is found through its filter (``predicate_index.py``) or through the bounds of its searches
(``vector_index.py``); what is found is judged as the plain evaluation does it (``plan.judge``). Alerts come and
go while documents are matched, without compiling the others again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.filters.nodes import ALWAYS
from streams.engines.retrieval.percolate.plan import Plan, Search, Verdict, judge, judge_one, similarity
from streams.engines.retrieval.percolate.predicate_index import Exactness, PredicateIndex
from streams.engines.retrieval.percolate.query_matrix import Question
from streams.engines.retrieval.percolate.vector_index import VectorIndex
from streams.engines.retrieval.percolate.view import View
from streams.engines.retrieval.vectors.cosine import pair_cosines, rounded
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.engines.retrieval.vectors.feature_batch import Block, blocks

S = TypeVar("S")
Pairs: TypeAlias = NDArray[np.signedinteger[Any]]
_FEW: Final = 4
_SHARE: Final = 64
"""A filter that no more than this share of the alerts that search ask alike is looked at before the vectors."""
_INT32: Final = 2**31
_STALE: Final = 1_024
_STEP: Final = 64
"""Alerts a batch that are indexed anew; about a millisecond."""
_FIRST = np.zeros(1, dtype=np.intp)


class Hit(NamedTuple, Generic[S]):
    """One alert that matches one document."""

    alert: S
    score: float
    """In [0, 1]; the same bytes whatever else was in the batch and however many alerts there are."""
    matched_features: dict[str, float] | None
    """Raw cosine per feature URI; ``None`` for alerts that only filter."""
    reason: str


@dataclass(frozen=True, slots=True)
class Matches(Generic[S]):
    """What matched in a batch, pair by pair: ordered by document, then by alert number."""

    bounds: list[int]
    """Where each document's pairs begin; one more than there are documents."""
    numbers: Pairs
    """Per pair the alert's number (:meth:`Percolator.add`)."""
    judged: dict[int, Verdict]
    """By pair what is said of alerts that search, apart from those below."""
    similar: dict[int, float]
    """By pair the rounded cosine, for alerts that one search decides without any other test. All other alerts have
    one hit for every document."""


class Percolator(Generic[S]):
    """The alerts of one collection, compiled. Each is known by its number: they count up, and numbers of removed
    alerts are given again."""

    def __init__(self, alerts: Iterable[S], plan_of: Callable[[S], Plan]) -> None:
        self._plan_of = plan_of
        self._entries: list[_Entry[S] | None] = []
        """``None`` for alerts that were removed."""
        self._hits: NDArray[np.object_] = np.full(16, None, dtype=object)
        """Per alert the hit it has for every document, made when it is first asked for."""
        self._unmade = np.zeros(16, dtype=np.bool_)
        """Per alert whether it is still to be made."""
        self._doubtful = np.zeros(16, dtype=np.bool_)
        """Per alert whether a nomination has to be judged."""
        self._alone = np.zeros(16, dtype=np.bool_)
        """Per alert whether one cosine decides it."""
        self._least = np.full(16, -np.inf)
        """For those what it has to be."""
        self._predicates = PredicateIndex()
        self._renewal: _Renewal | None = None
        self._vectors = VectorIndex()
        self._searching = 0
        self._living = 0
        self._free: list[int] = []
        """Numbers that can be given again: nothing leads to them any more."""
        self._stale: list[int] = []
        """Numbers of removed alerts that the index of predicates still leads to."""
        self._embedder = HashingEmbedder()
        for alert in alerts:
            self.add(alert)
        self._predicates.settle()

    def __len__(self) -> int:
        return self._living

    def add(self, alert: S) -> int:
        """Check an alert from the next batch on; returns its number, which may be that of a removed one."""
        plan = self._plan_of(alert)
        number = self._free.pop() if self._free else self._new_number()
        entry = _Entry(alert, plan, self._by_vector(plan))
        self._entries[number] = entry
        self._living += 1
        self._searching += bool(plan.searches)
        if entry.by_vector:
            for search, bound in zip(plan.searches, plan.bounds or (), strict=True):
                self._vectors.add(search, bound, number)
            entry.exactness = Exactness.EXACT if plan.predicate == ALWAYS else Exactness.NECESSARY
            if entry.exactness is Exactness.EXACT and len(plan.searches) == 1 and not plan.score_tests:
                least = plan.searches[0].min_score
                self._alone[number] = True
                self._least[number] = -np.inf if least is None else least
        else:
            entry.exactness = self._predicates.add(plan.predicate, number)
            if self._renewal is not None:
                self._renewal.index.add(plan.predicate, number)
        self._unmade[number] = constant = not plan.searches and plan.passes(1.0)
        sure = entry.exactness is Exactness.EXACT and (constant or self._alone[number])
        self._doubtful[number] = not sure
        return number

    def _new_number(self) -> int:
        number = len(self._entries)
        self._entries.append(None)
        if number == len(self._hits):
            self._hits = np.concatenate([self._hits, np.full(number, None, dtype=object)])
            self._unmade = np.concatenate([self._unmade, np.zeros(number, dtype=np.bool_)])
            self._doubtful = np.concatenate([self._doubtful, np.zeros(number, dtype=np.bool_)])
            self._alone = np.concatenate([self._alone, np.zeros(number, dtype=np.bool_)])
            self._least = np.concatenate([self._least, np.full(number, -np.inf)])
        return number

    def _by_vector(self, plan: Plan) -> bool:
        """Whether an alert is found by its searches; else by its filter."""
        return plan.bounds is not None and not self._predicates.selective(
            plan.predicate, max(_FEW, self._searching // _SHARE)
        )

    def remove(self, number: int) -> None:
        """Check an alert no longer. Raises ``KeyError`` when there is none of that number."""
        entry = self._entries[number] if 0 <= number < len(self._entries) else None
        if entry is None:
            raise KeyError(number)
        self._living -= 1
        self._searching -= bool(entry.plan.searches)
        self._entries[number] = self._hits[number] = None
        self._unmade[number] = self._alone[number] = False
        self._doubtful[number] = True
        self._least[number] = -np.inf
        if entry.by_vector:
            for search, bound in zip(entry.plan.searches, entry.plan.bounds or (), strict=True):
                self._vectors.remove(search, bound, number)
            self._free.append(number)
            return
        if self._renewal is not None and number not in self._renewal.left:
            # Both indexes lead to it.
            self._renewal.stale.append(number)
            return
        self._stale.append(number)
        if self._renewal is not None:
            self._renewal.left.pop(number)
        elif len(self._stale) > max(_STALE, self._living):
            found_by_filter = (at for at, held in enumerate(self._entries) if held and not held.by_vector)
            self._renewal = _Renewal(PredicateIndex(), dict.fromkeys(found_by_filter), [])

    def _renew(self) -> None:
        """A step towards an index of predicates that leads to living alerts only. Made in steps, so that no batch
        waits for all of it."""
        if self._renewal is None:
            return
        for _ in range(min(_STEP, len(self._renewal.left))):
            number, _ = self._renewal.left.popitem()
            entry = self._entries[number]
            assert entry is not None
            self._renewal.index.add(entry.plan.predicate, number)
        if not self._renewal.left:
            self._predicates = self._renewal.index
            self._free += self._stale
            self._stale, self._renewal = self._renewal.stale, None

    def hit(self, number: int) -> Hit[S] | None:
        """The hit an alert has for every document it matches; ``None`` for one that searches, or was removed."""
        entry = self._entries[number]
        if entry is not None and self._unmade[number]:
            verdict = judge(entry.plan, ())
            assert verdict is not None
            self._hits[number] = Hit(entry.alert, verdict.score, None, verdict.reason)
            self._unmade[number] = False
        found: Hit[S] | None = self._hits[number]
        return found

    def together(self) -> list[int]:
        """The numbers of all alerts, those that documents find together next to each other: what a caller keeps of
        them is read faster where it lies in this order."""
        living = (number for number, entry in enumerate(self._entries) if entry is not None)
        found = dict.fromkeys((*self._predicates.owners.tolist(), *living))
        return [number for number in found if self._entries[number] is not None]

    def match(self, documents: Sequence[DocumentEvent]) -> list[list[Hit[S]]]:
        """For each document its hits, in the order of the alerts' numbers."""
        return self.hits(self.find(documents))

    def hits(self, found: Matches[S]) -> list[list[Hit[S]]]:
        """The same from what was found."""
        for pair in np.flatnonzero(self._unmade[found.numbers]).tolist():
            self.hit(int(found.numbers[pair]))
        hits: list[Hit[S]] = self._hits[found.numbers].tolist()
        for pair, said in found.judged.items():
            entry = self._entries[found.numbers[pair]]
            assert entry is not None
            hits[pair] = Hit(entry.alert, *said)
        for pair, cosine in found.similar.items():
            entry = self._entries[found.numbers[pair]]
            assert entry is not None
            score, reason = similarity(cosine)
            hits[pair] = Hit(entry.alert, score, {entry.plan.searches[0].feature_uri: cosine}, reason)
        return [hits[first:last] for first, last in pairwise(found.bounds)]

    def find(self, documents: Sequence[DocumentEvent]) -> Matches[S]:
        """The same, leaving the hits of alerts that only filter to :meth:`hit`."""
        return self.finish(self.begin(documents))

    def begin(self, documents: Sequence[DocumentEvent]) -> "Begun":
        """The first half of :meth:`find`, up to the products of vectors. Alerts are added and removed only when
        all that was begun is finished; what is begun first is finished first."""
        self._renew()
        batch = _Batch(documents, self._embedder)
        questions = [
            question for uri in self._vectors.features for question in self._vectors.ask(uri, batch.blocks(uri))
        ]
        found, owners, batch.apart = self._predicates.holding(documents)
        return Begun(batch, questions, found, owners)

    def finish(self, begun: "Begun") -> Matches[S]:
        """The second half of :meth:`find`."""
        batch, documents = begun.batch, begun.batch.documents
        width = max(1, len(self._entries))
        pairs = self._nominated(begun, width)
        numbers = pairs % width
        alone = np.flatnonzero(self._alone[numbers])
        cosines = map(batch.cosines.__getitem__, pairs[alone].tolist())
        similar = dict(zip(alone.tolist(), cosines, strict=True))
        doubtful = np.flatnonzero(self._doubtful[numbers])
        judged: dict[int, Verdict] = {}
        if len(doubtful):
            wrong = []
            asked = zip(doubtful.tolist(), pairs[doubtful].tolist(), numbers[doubtful].tolist(), strict=True)
            for at, pair, number in asked:
                entry = self._entries[number]
                said = None if entry is None else self._judge(batch, entry, pair, pair // width)
                if said is None:
                    wrong.append(at)
                elif said.matched_features is not None:
                    judged[at] = said
            if wrong:
                keep = np.ones(len(pairs), dtype=np.bool_)
                keep[wrong] = False
                pairs, numbers = pairs[keep], numbers[keep]
                places = (np.cumsum(keep) - 1).tolist()
                judged = {places[at]: said for at, said in judged.items()}
                similar = {places[at]: cosine for at, cosine in similar.items()}
        bounds = np.searchsorted(pairs, np.arange(len(documents) + 1) * width)
        return Matches(bounds.tolist(), numbers, judged, similar)

    def _nominated(self, begun: "Begun", width: int) -> Pairs:
        """Pairs that may match, as document times ``width`` plus alert number; ascending."""
        batch = begun.batch
        small = len(batch.documents) * width < _INT32
        pairs: Pairs = np.multiply(begun.found, width, dtype=np.int32 if small else np.int64)
        pairs += begun.owners
        for question in begun.questions:
            for found in question.nominations():
                cosines = rounded(found.cosines)
                near = found.documents * width + found.owners
                reached = cosines >= self._least[found.owners]
                if not reached.all():
                    near, cosines = near[reached], cosines[reached]
                batch.cosines.update(zip(near.tolist(), cosines.tolist(), strict=True))
                pairs = np.concatenate([pairs, near.astype(pairs.dtype)])
        # Runs of ascending numbers, which this way of sorting makes use of.
        pairs.sort(kind="stable")
        return pairs[np.diff(pairs, prepend=-1) > 0]

    def _judge(self, batch: "_Batch", entry: "_Entry[S]", pair: int, document: int) -> Verdict | None:
        """What the plain evaluation says of a nominated pair."""
        plan = entry.plan
        if entry.exactness is not Exactness.EXACT:
            sure = entry.exactness is Exactness.APART and document not in batch.apart
            if not sure and not batch.view(document).holds(plan.predicate):
                return None
        if len(plan.searches) == 1 and (known := batch.cosines.get(pair)) is not None:
            return judge_one(plan, plan.searches[0], known)
        return judge(plan, [batch.cosine(search, document) for search in plan.searches])


@dataclass(slots=True)
class _Entry(Generic[S]):
    """An alert and how it is found."""

    alert: S
    plan: Plan
    by_vector: bool
    exactness: Exactness = Exactness.NECESSARY


@dataclass(frozen=True, slots=True)
class Begun:
    """A batch between the two halves of :meth:`Percolator.find`."""

    batch: "_Batch"
    questions: Sequence[Question]
    found: Pairs
    """Per pair that a filter nominated the document."""
    owners: Pairs
    """And the alert."""

    @property
    def multiplications(self) -> int:
        """What :meth:`multiply` comes to."""
        return sum(question.multiplications for question in self.questions)

    def multiply(self) -> None:
        """Take the products of vectors ahead: another thread can do that while this one goes on."""
        for question in self.questions:
            question.multiply()


@dataclass(slots=True)
class _Renewal:
    """A new index of predicates on the way."""

    index: PredicateIndex
    left: dict[int, None]
    """Numbers of alerts that are still to be added to it."""
    stale: list[int]
    """Numbers of alerts that were removed after they had been added to it."""


class _Batch:
    """What is known about the documents in hand, found out when first asked for."""

    def __init__(self, documents: Sequence[DocumentEvent], embedder: HashingEmbedder) -> None:
        self.documents = documents
        self.apart: frozenset[int] = frozenset()
        self.cosines: dict[int, float] = {}
        """By pair the cosine, rounded, of the search that nominated it."""
        self._embedder = embedder
        self._views: dict[int, View] = {}
        self._blocks: dict[str, dict[int, Block]] = {}

    def view(self, document: int) -> View:
        found = self._views.get(document)
        if found is None:
            found = self._views[document] = View(self.documents[document].root())
        return found

    def blocks(self, uri: str) -> dict[int, Block]:
        found = self._blocks.get(uri)
        if found is None:
            found = self._blocks[uri] = blocks(uri, self.documents, self._embedder)
        return found

    def cosine(self, search: Search, document: int) -> float | None:
        """As ``reference.cosine``, from the batch's blocks."""
        block = self.blocks(search.feature_uri).get(search.query.size)
        row = None if block is None else block.row(document)
        if block is None or row is None:
            return None
        return float(pair_cosines(block.unit, np.array([row]), search.query[None, :], _FIRST)[0])
