"""One run of a retriever over stored documents: a snapshot, the stages in a thread, the record (contract 4.6)."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import orjson

from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.topics import RETRIEVER_EXECUTIONS
from streams.engines.retrieval.execution.corpus import Corpus
from streams.engines.retrieval.execution.execute import Execution, Watch, execute
from streams.engines.retrieval.execution.prepare import Prepared
from streams.retrieval.apart import Deadline, apart
from streams.retrieval.corpus import PostgresCorpus
from streams.runtime.database import Connection
from streams.runtime.named import named_definitions
from streams.runtime.outbox import enqueue

TIME_LIMIT_MS: Final = 60_000
"""No execution takes longer, whatever its budget allows."""
_SORTED_IN: Final = "64MB"
"""Memory to put the distances of some 500,000 documents in order."""

_COMPARING: Final = frozenset(("cluster", "mmr", "taxonomy_enrich"))

# What the query station will materialise from the topic: who has an answer can read its execution at once.
_KEEP: Final = (
    b"INSERT INTO retriever_executions"
    b" (execution_id, namespace_id, retriever_id, status, created_at, completed_at, detail)"
    b" VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A retriever, and what it is asked."""

    namespace_id: str
    retriever: Prepared
    body: Mapping[str, Any]
    """What the retriever was read from."""
    inputs: Mapping[str, Any]
    filters: Mapping[str, Any] | None
    approximate: bool = False
    """Whether searches of large collections may use their indexes; the corpus says which did."""
    vectors: bool = True
    """Whether the rows of the result are wanted with their vectors."""


async def run_stored(
    connection: Connection,
    asked: Asked,
    *,
    now: datetime,
    seed: str,
    watch: Callable[[Deadline], Watch] | None = None,
) -> tuple[Execution, PostgresCorpus]:
    """Run a retriever over the documents of its namespace, as a transaction that sees one state of the database
    has them; the corpus answers further questions in the same transaction. Raises ``InputError`` and
    ``PlanError``; what a stage cannot do is the execution's error."""
    limit = asked.retriever.max_time_ms
    limit = TIME_LIMIT_MS if limit is None else min(limit, TIME_LIMIT_MS)
    retriever = replace(asked.retriever, max_time_ms=limit)
    deadline = Deadline(time.monotonic, limit)
    # The deadline ends statements of the stages; this ends those that nobody is left to end.
    await limit_statements(connection, TIME_LIMIT_MS)
    named = await named_definitions(
        connection, asked.namespace_id, asked.body.get("stages"), asked.inputs, asked.filters
    )
    corpus = await PostgresCorpus.open(
        connection,
        asked.namespace_id,
        deadline,
        approximate=asked.approximate,
        vectors=asked.vectors or compares_rows(asked.retriever),
    )

    async def run(there: Corpus) -> Execution:
        return await execute(
            retriever,
            asked.inputs,
            there,
            now=now,
            clock=time.monotonic,
            filters=asked.filters,
            definitions=named,
            seed=seed,
            watch=None if watch is None else watch(deadline),
        )

    return await apart(run, corpus, deadline), corpus


def compares_rows(retriever: Prepared) -> bool:
    """Whether a stage may ask for the vectors of the rows it is given."""
    return any(
        stage.stage.asks is not None or stage.stage.stage_id in _COMPARING or (at and stage.stage.source)
        for at, stage in enumerate(retriever.stages)
    )


async def limit_statements(connection: Connection, milliseconds: float) -> None:
    """Let no statement of this transaction run longer: a sort in the database cannot be asked to stop."""
    # Filters look costly to the planner, but compiling one takes longer than it saves.
    await connection.execute(
        "SELECT set_config('statement_timeout', %s, true), set_config('jit', 'off', true),"
        " set_config('work_mem', %s, true)",
        (str(int(milliseconds) + 1), _SORTED_IN),
    )


async def record_execution(connection: Connection, record: RetrieverExecutionRecord) -> None:
    """Say in the caller's transaction that a retriever ran. A repeat of the same execution changes nothing."""
    await enqueue(connection, RETRIEVER_EXECUTIONS, record.key, record.encode())
    await connection.execute(
        _KEEP,
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
