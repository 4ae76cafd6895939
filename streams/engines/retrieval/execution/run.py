"""What a stage may use while it runs: documents, inputs, templates, time, budget, and where to say things."""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from streams.engines.retrieval.errors import FilterError, StageError
from streams.engines.retrieval.execution.budget import Budget
from streams.engines.retrieval.execution.corpus import EVERYTHING, Corpus, Scope
from streams.engines.retrieval.execution.filter_check import WrittenFilter, filled_for_row
from streams.engines.retrieval.filters.parse import Filter, matches, parse_filter
from streams.engines.retrieval.stages.stage import Row, Vector
from streams.engines.retrieval.templates.filling import Names, fill
from streams.engines.retrieval.vectors.features import resolve_feature


class Definitions(Protocol):
    """The definitions a stage may name, as a snapshot; by id or name, ``None`` where there is none."""

    def retriever(self, identifier: str) -> Mapping[str, Any] | None:
        """A retriever's body (contract 4.5)."""
        ...

    def taxonomy(self, identifier: str) -> Mapping[str, Any] | None:
        """A taxonomy's body (contract 4.11)."""
        ...

    def collection_id(self, identifier: str) -> str | None:
        """The id of a collection."""
        ...


@dataclass(slots=True)
class Notes:
    """What an execution has to say beside its rows (contract 4.6)."""

    warnings: list[str] = field(default_factory=list)
    limits: list[dict[str, Any]] = field(default_factory=list)
    degraded: list[dict[str, Any]] = field(default_factory=list)
    facets: list[dict[str, Any]] | None = None
    """Of the last stage that counts any: ``{key, buckets: [{value, count}]}`` each."""
    total: int | None = None
    """Documents that fit before a limit cut them, where a stage has counted them."""


@dataclass(slots=True)
class Run:
    """One execution, as its current stage sees it."""

    corpus: Corpus
    inputs: Mapping[str, Any]
    """Typed and with defaults."""
    now: datetime
    budget: Budget
    definitions: Definitions
    collections: tuple[str, ...] | None
    """Ids of the collections in scope; ``None`` means every one of the corpus."""
    seed: str
    """What random choices follow from: the same seed gives the same output."""
    nesting: "Callable[[Run, Mapping[str, Any], Mapping[str, Any]], Awaitable[list[Row]]]"
    """How a retriever is run inside this one: use :meth:`nested`."""
    notes: Notes = field(default_factory=Notes)
    context: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """``output_alias`` → the roots of the rows a stage left."""
    stages: dict[str, dict[str, int]] = field(default_factory=dict)
    """Names of the stages before → ``input_count`` and ``output_count``."""
    preparations: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    """Stages of other retrievers, by identity, and what they were read to."""
    depth: int = 0
    """Retrievers around this one."""
    stage_name: str = ""
    place: str = ""
    """The current stage, as messages name it."""
    first: bool = True
    """Whether the current stage is the first, whose candidates are still to be found."""
    where: Filter = EVERYTHING
    """What the candidates of a first stage must fit: its ``pre_filters`` and the request's ``filters``."""

    @property
    def scope(self) -> Scope:
        """The documents a first stage finds its candidates among."""
        return Scope(self.collections, self.where)

    def render(self, value: Any, row: Row | None = None) -> Any:
        """``value`` with every template in it filled; ``row`` is ``DOC``. Raises :class:`StageError`."""
        document = None if row is None else row.root()
        names = Names(self.inputs, document, self.context, self.stages, self.now)
        return fill(value, names, self.place)

    def fits(self, condition: Any, row: Row) -> bool:
        """Whether a row fits a filter as it is written, e.g. ``when``; its templates are filled for the row, and
        no filter fits always. Raises :class:`StageError`."""
        return condition is None or matches(self.filter(condition, row), row.root())

    def written(self, filter_: WrittenFilter, row: Row | None = None, *, case_sensitive: bool = False) -> Filter:
        """What a filter means, its templates filled. Raises :class:`StageError`."""
        if filter_.parsed is not None:
            return filter_.parsed
        return self.filter(filter_.raw, row, case_sensitive=case_sensitive)

    def filter(self, raw: Any, row: Row | None = None, *, case_sensitive: bool = False) -> Filter:
        """A filter, its templates filled, for a row where one is given. Raises :class:`StageError`."""
        try:
            if row is not None:
                raw = filled_for_row(raw, lambda value: self.render(value, row), self.place)
            else:
                raw = self.render(raw)
            return parse_filter(raw, case_sensitive_default=case_sensitive, place=self.place)
        except FilterError as error:
            raise StageError(str(error)) from error

    async def scan(self, limit: int, scope: Scope | None = None) -> list[Row]:
        """The documents in scope, at most ``limit`` per collection; what is cut off is recorded."""
        scope = scope or self.scope
        rows = await self.corpus.scan(scope, limit)
        total = await self.corpus.count(scope)
        self.notes.total = total
        self.budget.charge(await self.corpus.count(Scope(scope.collections)))
        if len(rows) < total:
            self.limited("scan", total, len(rows), limit)
        return rows

    async def vectors(self, rows: Sequence[Row], feature_uri: str) -> list[Vector | None]:
        """For each row the vector a feature URI means: the row's own, else the stored document's."""
        own = [resolve_feature(feature_uri, row.features) for row in rows]
        asked: dict[str, dict[str, None]] = {}
        for row, name in zip(rows, own, strict=True):
            if name is None:
                asked.setdefault(row.collection_id, {})[row.document_id] = None
        stored = {
            collection_id: await self.corpus.vectors_of(collection_id, list(ids), feature_uri)
            for collection_id, ids in asked.items()
        }
        return [
            stored[row.collection_id].get(row.document_id) if name is None else row.features[name]
            for row, name in zip(rows, own, strict=True)
        ]

    async def nested(self, retriever: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[Row]:
        """The rows of another retriever over the same corpus, at this execution's cost. Raises
        :class:`StageError` when it fails, or when retrievers are nested too deeply."""
        return await self.nesting(self, retriever, inputs)

    def rng(self, seed: int | None = None) -> random.Random:
        """Randomness for the current stage: the same for the same seed, whatever ran before. ``seed`` is the one
        a user gave."""
        return random.Random(f"{self.seed}/{self.stage_name}" if seed is None else str(seed))  # noqa: S311

    def warn(self, text: str) -> None:
        """Tell the user something that is no error; the stage is named for you."""
        message = f"{self.place}: {text}"
        if message not in self.notes.warnings:
            self.notes.warnings.append(message)

    def limited(self, name: str, requested: int, applied: int, ceiling: int) -> None:
        """Record that less was done than asked for."""
        entry = {"name": name, "requested": requested, "applied": applied, "ceiling": ceiling}
        self.notes.limits.append({**entry, "stage": self.stage_name})

    def degrade(self, resource: str, reason: str, next_step: str, identifier: str | None = None) -> None:
        """Record that something the result should rest on was missing, and what the user can do."""
        entry = {"resource": resource, "id": identifier, "reason": reason, "next_step": next_step}
        self.notes.degraded.append({**entry, "stage": self.stage_name})
