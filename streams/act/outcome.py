"""The end of a job, in the caller's one transaction: job, trigger, baseline and result together or not at all."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from schemas.events.trigger import RunStatus
from schemas.topics import TRIGGER_RESULTS
from streams.act.failures import LeaseLostError
from streams.act.lease import NEWEST, Job
from streams.runtime.database import Connection
from streams.runtime.outbox import enqueue

FAILURE_LIMIT = 5
"""Consecutive failed jobs after which a trigger stands still as ``failed`` (contract 4.7)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an action did, as its result record tells it."""

    num_clusters: int | None = None
    num_documents: int | None = None
    facts: dict[str, Any] | None = None
    error: str | None = None
    """Why the job counts as failed although its action ended: what it wrote and found is kept."""


async def hold(connection: Connection, job: Job) -> None:
    """Lock the job for its outcome; the first statement of the transaction.

    Raises :class:`LeaseLostError` when another worker has claimed the job or it has ended.
    """
    cursor = await connection.execute(
        "SELECT 1 FROM jobs WHERE job_id = %s AND claim_epoch = %s AND status = 'processing' FOR UPDATE",
        (job.job_id, job.claim_epoch),
    )
    if await cursor.fetchone() is None:
        raise LeaseLostError(f"job {job.job_id} is no longer held under claim {job.claim_epoch}")


async def complete(connection: Connection, job: Job, outcome: Outcome, now: datetime) -> None:
    """Write a success: the baseline frozen at the fire becomes the trigger's. After :func:`hold`."""
    await _end_job(connection, job, "completed", now, None, outcome)
    await connection.execute(
        "UPDATE trigger_state AS triggered SET successful_executions = successful_executions + 1,"
        " total_executions = total_executions + 1, consecutive_failures = 0,"
        " baseline_sketch = COALESCE(jobs.baseline_sketch, triggered.baseline_sketch),"
        " baseline_snapshot = COALESCE(jobs.baseline_snapshot, triggered.baseline_snapshot),"
        f" {_ENDED} FROM jobs WHERE jobs.job_id = %(job_id)s AND triggered.trigger_id = %(trigger_id)s",
        _state(job, "completed", None),
    )


async def fail(connection: Connection, job: Job, outcome: Outcome, now: datetime) -> None:
    """Write a failure: the trigger keeps its baseline, and stops after too many in a row. After :func:`hold`."""
    error = outcome.error
    await _end_job(connection, job, "failed", now, error, outcome)
    await connection.execute(
        "UPDATE trigger_state AS triggered SET total_executions = total_executions + 1,"
        " consecutive_failures = consecutive_failures + 1,"
        " status = CASE WHEN consecutive_failures + 1 >= %(limit)s AND status IN ('active', 'paused')"
        " THEN 'failed' ELSE status END,"
        f" {_ENDED} WHERE triggered.trigger_id = %(trigger_id)s",
        {**_state(job, "failed", error), "limit": FAILURE_LIMIT},
    )


# Columns both endings set. An older job that ends late does not hide what the newest one is doing.
_ENDED = (
    "pending_job_id = NULLIF(triggered.pending_job_id, %(job_id)s),"
    f" last_job_id = CASE WHEN {NEWEST} THEN %(job_id)s ELSE triggered.last_job_id END,"
    f" last_execution_status = CASE WHEN {NEWEST} THEN %(status)s ELSE triggered.last_execution_status END,"
    f" last_execution_error = CASE WHEN {NEWEST} THEN %(error)s::text ELSE triggered.last_execution_error END,"
    " updated_at = now()"
)


def _state(job: Job, status: RunStatus, error: str | None) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "trigger_id": job.command.trigger_id,
        "triggered_at": job.command.triggered_at,
        "status": status,
        "error": error,
    }


async def _end_job(
    connection: Connection, job: Job, status: RunStatus, now: datetime, error: str | None, outcome: Outcome
) -> None:
    revision = job.revision + 1
    await connection.execute(
        "UPDATE jobs SET status = %s, revision = %s, finished_at = %s, error = %s, outcome = %s,"
        " lease_owner = NULL, lease_expires_at = NULL WHERE job_id = %s",
        (
            status,
            revision,
            now,
            error,
            None if outcome.facts is None else Jsonb(outcome.facts),
            job.job_id,
        ),
    )
    result = job.result(
        status,
        revision,
        finished_at=now,
        execution_time_ms=max(0, (now - job.started_at) // timedelta(milliseconds=1)),
        error=error,
        num_clusters=outcome.num_clusters,
        num_documents=outcome.num_documents,
        outcome=outcome.facts,
    )
    await enqueue(connection, TRIGGER_RESULTS, result.key, result.encode())
