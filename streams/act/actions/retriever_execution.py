"""Action ``retriever_execution``: run a stored retriever, hold it to its acceptance, and keep the run (contract
4.8). It is read like every other execution of the retriever."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.ids import derived_id
from streams.act.acceptance import breaches
from streams.act.actions.action import Finish
from streams.act.actions.resources import filter_of, needed
from streams.act.failures import ActionError
from streams.act.lease import Job
from streams.act.outcome import Outcome
from streams.act.run_notice import notice
from streams.act.work import Work
from streams.engines.retrieval.errors import InputError, PlanError
from streams.engines.retrieval.execution.detail import kept, outcome
from streams.engines.retrieval.execution.prepare import prepare
from streams.engines.retrieval.stages.stage import Row
from streams.retrieval.running import Asked, record_execution, run_stored
from streams.runtime.database import Connection
from streams.runtime.happenings import tell_channels

KEPT_ROWS: Final = 100
"""Results that the record of a run holds."""
TOLD_ROWS: Final = 10
"""Results that a notification names."""
EARLIER: Final = 20
"""Executions whose stages say how long they usually take."""


async def run(work: Work) -> Finish:
    """Run the retriever over the documents that are there. Its own failure is the job's, as is a breach of its
    acceptance; either way the execution is kept, and the trigger's channels are told if they want to be."""
    try:
        return await _run(work)
    except ActionError as refused:
        problem = str(refused)
        told = notice(work.job, {}, problem)
        if told is None:
            raise

    async def finish(connection: Connection, _: datetime) -> Outcome:
        await tell_channels(connection, told)
        return Outcome(error=problem)

    return finish


async def _run(work: Work) -> Finish:
    command, config = work.job.command, work.job.command.action_config
    filter_of(config, "filters")
    created_at = work.context.clock()
    async with work.read() as connection:
        found = await needed(connection, "retriever", command.namespace_id, config.get("retriever_id"))
        retriever_id = found.record.id
        earlier = await _earlier(connection, command.namespace_id, retriever_id)
        before = await _before(connection, work.job)
        try:
            asked = Asked(
                command.namespace_id,
                prepare(found.body),
                found.body,
                config.get("inputs") or {},
                config.get("filters"),
            )
            execution, corpus = await run_stored(connection, asked, now=command.nominal_at, seed=command.job_id)
        except (InputError, PlanError) as refused:
            raise ActionError(f"retriever {retriever_id}: {refused}") from refused
    rows = execution.rows
    problems = [execution.error] if execution.error is not None else []
    breached: list[str] = []
    if not problems:
        breached = breaches(config.get("acceptance") or {}, rows, execution.statistics(), earlier)
    digest = _digest([[row.collection_id, row.document_id] for row in rows])
    question = _digest([config.get("inputs"), config.get("filters")])
    told = outcome(execution, corpus.limits)
    record = RetrieverExecutionRecord(
        execution_id=derived_id("exec_", command.job_id),
        namespace_id=command.namespace_id,
        retriever_id=retriever_id,
        status="completed" if execution.error is None else "failed",
        created_at=created_at,
        completed_at=work.context.clock(),
        detail=kept(execution, rows[:KEPT_ROWS], told, pagination=_pagination(rows), inputs_hash=question),
    )
    facts = {
        "execution_id": record.execution_id,
        "retriever_id": retriever_id,
        "results": len(rows),
        "total_time_ms": execution.statistics()["total_time_ms"],
        "accepted": not breached,
        "breaches": breached,
        "results_digest": digest,
        "changed": None if before is None else before != digest,
    }
    error = "; ".join([*problems, *(f"acceptance: {one}" for one in breached)]) or None
    found_ids = [{"collection_id": row.collection_id, "document_id": row.document_id} for row in rows[:TOLD_ROWS]]
    telling = {**facts, "documents": found_ids, "stage_statistics": execution.statistics()["stages"]}
    notified = notice(work.job, telling, error)

    async def finish(connection: Connection, _: datetime) -> Outcome:
        await record_execution(connection, record)
        if notified is not None:
            await tell_channels(connection, notified)
        return Outcome(num_documents=len(rows), facts=facts, error=error)

    return finish


def _pagination(rows: Sequence[Row]) -> dict[str, Any]:
    returned = min(len(rows), KEPT_ROWS)
    return {
        "method": "offset",
        "page_number": 1,
        "page_size": KEPT_ROWS,
        "limit": KEPT_ROWS,
        "offset": 0,
        "returned": returned,
        "total": len(rows),
        "has_next": returned < len(rows),
        "has_previous": False,
    }


def _digest(found: Any) -> str:
    """The same text for the same JSON value: of results, the same documents in the same order."""
    return derived_id("", orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode())


async def _before(connection: Connection, job: Job) -> str | None:
    """The digest of the trigger's run before this one; ``None`` when it is the first."""
    cursor = await connection.execute(
        "SELECT outcome ->> 'results_digest' FROM jobs WHERE trigger_id = %s AND job_id <> %s"
        " AND status IN ('completed', 'failed') AND outcome ? 'results_digest'"
        " ORDER BY triggered_at DESC, job_id DESC LIMIT 1",
        (job.command.trigger_id, job.job_id),
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def _earlier(connection: Connection, namespace_id: str, retriever_id: str) -> Mapping[str, Sequence[float]]:
    """How long each stage of the retriever took in its latest executions, in milliseconds."""
    cursor = await connection.execute(
        "SELECT detail -> 'stage_statistics' -> 'stages' FROM retriever_executions WHERE namespace_id = %s"
        " AND retriever_id = %s AND status = 'completed' ORDER BY created_at DESC, execution_id DESC LIMIT %s",
        (namespace_id, retriever_id, EARLIER),
    )
    found: dict[str, list[float]] = {}
    for (stages,) in await cursor.fetchall():
        for name, stat in (stages or {}).items():
            found.setdefault(name, []).append(stat["duration_ms"])
    return found
