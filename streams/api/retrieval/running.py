"""One execution over stored documents: a snapshot, the stages in a thread, the page, the record (contract 4.6)."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import orjson

from schemas.api.base import JsonObject
from schemas.api.execution import PageOf
from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.ids import new_id
from schemas.times import format_instant
from schemas.topics import RETRIEVER_EXECUTIONS
from streams.api.retrieval.apart import Deadline, apart
from streams.api.retrieval.corpus import PostgresCorpus
from streams.api.retrieval.expand import expanded
from streams.api.retrieval.pages import Place, cut, digest_of, place
from streams.api.retrieval.wire import explain_plan
from streams.engines.retrieval.execution.corpus import Corpus
from streams.engines.retrieval.execution.detail import document, kept, outcome
from streams.engines.retrieval.execution.execute import Execution, Watch, execute
from streams.engines.retrieval.execution.prepare import Prepared
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.named import named_definitions
from streams.runtime.outbox import enqueue

TIME_LIMIT_MS: Final = 60_000
"""No execution takes longer, whatever its budget allows."""

# What the query station will materialise from the topic: who has an answer can read its execution at once.
_KEEP: Final = (
    "INSERT INTO retriever_executions"
    " (execution_id, namespace_id, retriever_id, status, created_at, completed_at, detail)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)


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
    expand: Sequence[str] = ()
    warnings: Sequence[str] = ()
    """What is to be said of the request."""
    execution_id: str = field(default_factory=lambda: new_id("execution"))

    def place(self, now: datetime) -> Place:
        """Where the page begins. Raises 400."""
        stages, collections = self.body.get("stages"), self.retriever.collections
        digest = digest_of(self.retriever_id, stages, collections, self.inputs, self.filters)
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
    limit = TIME_LIMIT_MS if retriever.max_time_ms is None else min(retriever.max_time_ms, TIME_LIMIT_MS)
    retriever = replace(retriever, max_time_ms=limit)
    deadline = Deadline(time.monotonic, limit)
    async with context.database.transaction(snapshot=True) as connection:
        await limit_statements(connection, limit)
        named = await named_definitions(
            connection, question.namespace_id, question.body.get("stages"), question.inputs, question.filters
        )
        corpus = await PostgresCorpus.open(connection, question.namespace_id, deadline)

        async def run(there: Corpus) -> Execution:
            return await execute(
                retriever,
                question.inputs,
                there,
                now=at.now,
                clock=time.monotonic,
                filters=question.filters,
                definitions=named,
                seed=at.seed,
                watch=None if watch is None else watch(deadline),
            )

        execution = await apart(run, corpus, deadline)
        rows, pagination = cut(execution.rows, question.page, at, context.clock())
        documents = [document(row, vectors=question.return_vectors) for row in rows]
        warnings = list(question.warnings)
        if question.expand and execution.error is None:
            warnings += await expanded(documents, question.expand, corpus)
    found = outcome(execution, corpus.limits, warnings)
    shared = {"documents": documents, "pagination": pagination, **found}
    response = {
        "retriever_id": question.retriever_id,
        "execution_id": question.execution_id,
        **shared,
        "cache_hit": False,
        "consistency_mode": "eventual",
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
    await _record(context, record)
    response["created_at"] = format_instant(record.created_at)
    response["completed_at"] = format_instant(record.completed_at)
    return Answer(response, record)


async def limit_statements(connection: Connection, milliseconds: float) -> None:
    """Let no statement of this transaction run longer: a sort in the database cannot be asked to stop."""
    await connection.execute("SELECT set_config('statement_timeout', %s, true)", (str(int(milliseconds) + 1),))


async def _record(context: Context, record: RetrieverExecutionRecord) -> None:
    value = record.encode()
    async with context.database.transaction() as connection:
        await enqueue(connection, RETRIEVER_EXECUTIONS, record.key, value)
        await connection.execute(
            _KEEP.encode(),
            (
                record.execution_id,
                record.namespace_id,
                record.retriever_id,
                record.status,
                record.created_at,
                record.completed_at,
                orjson.dumps(record.detail).decode(),
            ),
        )
