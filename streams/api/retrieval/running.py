"""One execution over stored documents: a snapshot, the stages in a thread, the page, the record (contract 4.6)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from schemas.api.base import JsonObject
from schemas.api.execution import PageOf
from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.ids import new_id
from schemas.times import format_instant
from streams.api.retrieval.expand import expanded
from streams.api.retrieval.pages import Place, cut, digest_of, place
from streams.api.retrieval.wire import explain_plan
from streams.engines.retrieval.execution.detail import document, kept, outcome
from streams.engines.retrieval.execution.execute import Watch
from streams.engines.retrieval.execution.prepare import Prepared
from streams.retrieval.apart import Deadline
from streams.retrieval.running import Asked, record_execution, run_stored
from streams.runtime.agent import Context

ConsistencyMode = Literal["strong", "eventual"]


@dataclass(frozen=True, slots=True)
class Question:
    """A retriever, and what it is asked."""

    namespace_id: str
    retriever_id: str
    """Empty for one that is not stored."""
    retriever: Prepared
    body: Mapping[str, Any]
    """What the retriever was read from."""
    inputs: JsonObject
    filters: JsonObject | None
    page: PageOf
    return_vectors: bool = False
    explain: bool = False
    exact: bool = False
    """Whether every vector is compared, however many there are."""
    consistency_mode: ConsistencyMode = "eventual"
    expand: Sequence[str] = ()
    warnings: Sequence[str] = ()
    """What is to be said of the request."""
    execution_id: str = field(default_factory=lambda: new_id("execution"))

    def place(self, now: datetime) -> Place:
        """Where the page begins. Raises 400 and 404."""
        stages, collections = self.body.get("stages"), self.retriever.collections
        digest = digest_of(self.namespace_id, self.retriever_id, stages, collections, self.inputs, self.filters)
        return place(self.page, digest, self.execution_id, now)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an execution came to."""

    response: JsonObject
    """``ExecuteRetrieverResponse``."""
    record: RetrieverExecutionRecord


async def answer(
    context: Context, question: Question, at: Place, watch: Callable[[Deadline], Watch] | None = None
) -> Answer:
    """Run a retriever and record that it ran. Raises ``InputError`` and ``PlanError``; what a stage cannot do is
    in the answer."""
    created_at = context.clock()
    retriever = question.retriever
    asked = Asked(
        question.namespace_id,
        retriever,
        question.body,
        question.inputs,
        question.filters,
        approximate=not question.exact,
        vectors=question.return_vectors,
    )
    async with context.database.transaction(snapshot=True) as connection:
        execution, corpus = await run_stored(connection, asked, now=at.now, seed=at.seed, watch=watch)
        rows, pagination = cut(execution.rows, question.page, at, context.clock())
        documents = [document(row, vectors=question.return_vectors) for row in rows]
        warnings = list(question.warnings)
        if question.expand and execution.error is None:
            warnings += await expanded(documents, question.expand, corpus)
    found = outcome(execution, corpus.limits, warnings)
    found["completeness"] = dict.fromkeys(sorted(corpus.approximated), "approximate") or None
    shared = {"documents": documents, "pagination": pagination, **found}
    response = {
        "retriever_id": question.retriever_id,
        "execution_id": question.execution_id,
        **shared,
        "cache_hit": False,
        "consistency_mode": question.consistency_mode,
    }
    if question.explain:
        response["explain_plan"] = explain_plan(execution, retriever.stages, retriever.collections)
    record = RetrieverExecutionRecord(
        execution_id=question.execution_id,
        namespace_id=question.namespace_id,
        retriever_id=question.retriever_id,
        status="completed" if execution.error is None else "failed",
        created_at=created_at,
        completed_at=context.clock(),
        detail=kept(execution, rows, found, pagination=pagination, inputs_hash=at.digest),
    )
    async with context.database.transaction() as connection:
        await record_execution(connection, record)
    response["created_at"] = format_instant(record.created_at)
    response["completed_at"] = format_instant(record.completed_at)
    return Answer(response, record)
