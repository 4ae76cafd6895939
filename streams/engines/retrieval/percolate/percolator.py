"""Many standing alerts against a batch of documents (design section 4).

Exactly what plain evaluation of every alert on every document gives (``reference.py``), at a cost that does
not grow with the alerts that cannot match: alerts whose searches have thresholds are nominated by
``VectorIndex``, the others by ``PredicateIndex``; only nominated pairs are judged.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.filters.nodes import ALWAYS
from streams.engines.retrieval.percolate.plan import Plan, Search, judge
from streams.engines.retrieval.percolate.predicate_index import PredicateIndex, PredicateSet
from streams.engines.retrieval.percolate.vector_index import VectorIndex
from streams.engines.retrieval.percolate.view import View
from streams.engines.retrieval.vectors.cosine import pair_cosines
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.engines.retrieval.vectors.feature_batch import Block, blocks

S = TypeVar("S")
_FIRST = np.zeros(1, dtype=np.intp)


@dataclass(frozen=True, slots=True)
class Hit(Generic[S]):
    """One alert that matches one document."""

    alert: S
    score: float
    """In [0, 1]; the same bytes whatever else was in the batch and however many alerts there are."""
    matched_features: dict[str, float] | None
    """Raw cosine per feature URI; ``None`` for alerts that only filter."""
    reason: str


class Percolator(Generic[S]):
    """The alerts of one collection, compiled. Immutable after construction."""

    def __init__(self, alerts: Sequence[S], plan_of: Callable[[S], Plan]) -> None:
        self._alerts = alerts
        self._plans = [plan_of(alert) for alert in alerts]
        self._predicates = PredicateSet()
        self._vectors = VectorIndex()
        self._embedder = HashingEmbedder()
        self._predicate_of: list[int | None] = []
        """Per alert its predicate's number, ``None`` when it asks nothing."""
        self._filtered: dict[int, list[int]] = {}
        """Per predicate the alerts that are found through it."""
        for number, plan in enumerate(self._plans):
            self._add(number, plan)
        self._index = PredicateIndex(self._predicates, self._filtered)

    def _add(self, number: int, plan: Plan) -> None:
        predicate = None if plan.predicate == ALWAYS else self._predicates.number(plan.predicate)
        self._predicate_of.append(predicate)
        bounds = plan.bounds
        if bounds is not None:
            for search, bound in zip(plan.searches, bounds, strict=True):
                self._vectors.add(search, bound, number)
        else:
            everything = self._predicates.number(ALWAYS) if predicate is None else predicate
            self._filtered.setdefault(everything, []).append(number)

    def match(self, documents: Sequence[DocumentEvent]) -> list[list[Hit[S]]]:
        """For each document its hits, in the order the alerts were given."""
        batch = _Batch(documents, self._embedder)
        nominated: list[dict[int, float | None]] = [{} for _ in documents]
        for uri in self._vectors.features:
            for document, alert, cosine in self._vectors.search(uri, batch.blocks(uri)):
                nominated[document][alert] = cosine
        if self._filtered:
            views = [batch.view(index) for index in range(len(documents))]
            for index, holding in enumerate(self._index.holding(views)):
                for predicate in holding:
                    nominated[index].update(dict.fromkeys(self._filtered[predicate]))
        return [
            list(self._judged(batch, index, alerts)) if alerts else [] for index, alerts in enumerate(nominated)
        ]

    def _judged(self, batch: "_Batch", document: int, alerts: dict[int, float | None]) -> Iterable[Hit[S]]:
        for number in sorted(alerts):
            plan, predicate = self._plans[number], self._predicate_of[number]
            # Alerts found through their predicate have been checked already; the view remembers.
            if predicate is not None and not self._predicates.checks[predicate](batch.view(document)):
                continue
            known = alerts[number]
            if known is not None and len(plan.searches) == 1:
                verdict = judge(plan, (known,))
            else:
                verdict = judge(plan, [batch.cosine(search, document) for search in plan.searches])
            if verdict is not None:
                yield Hit(self._alerts[number], verdict.score, verdict.matched_features, verdict.reason)


class _Batch:
    """What is known about the documents in hand, found out when first asked for."""

    def __init__(self, documents: Sequence[DocumentEvent], embedder: HashingEmbedder) -> None:
        self._documents = documents
        self._embedder = embedder
        self._views: list[View | None] = [None] * len(documents)
        self._blocks: dict[str, dict[int, Block]] = {}

    def view(self, document: int) -> View:
        found = self._views[document]
        if found is None:
            found = self._views[document] = View(self._documents[document].root())
        return found

    def blocks(self, uri: str) -> dict[int, Block]:
        found = self._blocks.get(uri)
        if found is None:
            found = self._blocks[uri] = blocks(uri, self._documents, self._embedder)
        return found

    def cosine(self, search: Search, document: int) -> float | None:
        """As ``reference.cosine``, from the batch's blocks."""
        block = self.blocks(search.feature_uri).get(search.query.size)
        row = None if block is None else block.row(document)
        if block is None or row is None:
            return None
        return float(pair_cosines(block.unit, np.array([row]), search.query[None, :], _FIRST)[0])
