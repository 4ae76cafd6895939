"""Runs stages over documents in memory, as an execution does."""

import asyncio
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from schemas.events.document import UPSERTED, DocumentEvent
from streams.engines.retrieval.execution.budget import Budget
from streams.engines.retrieval.execution.execute import Execution, _nested, execute
from streams.engines.retrieval.execution.memory import MemoryCorpus
from streams.engines.retrieval.execution.prepare import prepare_stage
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.stages.stage import Row

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Defined:
    """Definitions by id; every collection has its name for an id."""

    retrievers: Mapping[str, Any] = field(default_factory=dict)
    taxonomies: Mapping[str, Any] = field(default_factory=dict)
    collections: frozenset[str] = frozenset(("news", "other", "people", "topics", "brands", "models"))

    def retriever(self, identifier: str) -> Mapping[str, Any] | None:
        """A retriever's body."""
        return self.retrievers.get(identifier)

    def taxonomy(self, identifier: str) -> Mapping[str, Any] | None:
        """A taxonomy's body."""
        return self.taxonomies.get(identifier)

    def collection_id(self, identifier: str) -> str | None:
        """The id of a collection."""
        return identifier if identifier in self.collections else None


def corpus_of(rows: Sequence[Row]) -> MemoryCorpus:
    """The rows as stored documents, without their scores."""
    corpus = MemoryCorpus()
    for one in rows:
        corpus.apply(event_of(one))
    return corpus


def event_of(one: Row) -> DocumentEvent:
    """The document of a row as it arrives."""
    return DocumentEvent(
        UPSERTED,
        "ns",
        one.collection_id,
        one.document_id,
        NOW,
        payload=deepcopy(one.fields),
        features=dict(one.features),
    )


def stage(stage_id: str, parameters: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A stage as it is sent."""
    return {"stage_name": stage_id, "config": {"stage_id": stage_id, "parameters": dict(parameters or {}), **more}}


def executed(
    stages: Sequence[Mapping[str, Any]],
    stored: Sequence[Row],
    *,
    inputs: Mapping[str, Any] | None = None,
    definitions: Defined | None = None,
    collections: Sequence[str] | None = None,
) -> Execution:
    """A retriever's outcome over stored documents."""
    return asyncio.run(
        execute(
            {"stages": list(stages)},
            inputs or {},
            corpus_of(stored),
            now=NOW,
            clock=lambda: 0.0,
            definitions=definitions or Defined(),
            collections=collections,
        )
    )


def applied(
    stage_id: str,
    parameters: Mapping[str, Any],
    rows: Sequence[Row],
    *,
    stored: Sequence[Row] = (),
    inputs: Mapping[str, Any] | None = None,
    definitions: Defined | None = None,
    notes: list[str] | None = None,
) -> list[Row]:
    """One stage on rows that stages before it left. Raises ``PlanError`` and ``StageError``; its warnings go to
    ``notes``."""
    prepared = prepare_stage(stage(stage_id, parameters))
    run = Run(
        corpus=corpus_of(stored),
        inputs=inputs or {},
        now=NOW,
        budget=Budget(lambda: 0.0),
        definitions=definitions or Defined(),
        collections=None,
        seed="seed",
        nesting=_nested,
        stage_name=prepared.name,
        place=prepared.place,
        first=False,
    )

    async def left() -> list[Row]:
        found: list[Row] = await prepared.stage.run(list(rows), prepared.parameters(run.render), run)
        return found

    found = asyncio.run(left())
    if notes is not None:
        notes += run.notes.warnings
    return found
