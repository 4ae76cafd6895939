"""The end of an action, in the caller's one transaction: job, trigger, baseline and result together or not."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.events.trigger import RunStatus
from streams.act.failures import LeaseLostError
from streams.act.lease import Job
from streams.runtime.database import Connection
from streams.runtime.job_end import ENDED, Ending, end_job, trigger_values

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

    @property
    def status(self) -> RunStatus:
        """``completed`` or ``failed``."""
        return "completed" if self.error is None else "failed"


async def hold(connection: Connection, job: Job) -> None:
    """Lock the job for a write; the first statement of the transaction.

    Raises :class:`LeaseLostError` when another worker has claimed the job or it has ended.
    """
    cursor = await connection.execute(
        "SELECT 1 FROM jobs WHERE job_id = %s AND claim_epoch = %s AND status = 'processing' FOR UPDATE",
        (job.job_id, job.claim_epoch),
    )
    if await cursor.fetchone() is None:
        raise LeaseLostError(f"job {job.job_id} is no longer held under claim {job.claim_epoch}")


async def end(connection: Connection, job: Job, outcome: Outcome, now: datetime) -> None:
    """Write how the job ended. After :func:`hold`.

    A success makes the baseline frozen at the fire the trigger's; a failure leaves it, and stops the trigger
    after too many in a row.
    """
    ending = Ending(outcome.status, outcome.error, outcome.num_clusters, outcome.num_documents, outcome.facts)
    await end_job(connection, job.command, ending, revision=job.revision + 1, started_at=job.started_at, now=now)
    await connection.execute(
        f"UPDATE trigger_state AS triggered SET {_SUCCESS if outcome.error is None else _FAILURE}, {ENDED}"
        " FROM jobs WHERE jobs.job_id = %(job_id)s AND triggered.trigger_id = %(trigger_id)s".encode(),
        {**trigger_values(job.command, ending), "limit": FAILURE_LIMIT},
    )


_SUCCESS = (
    "successful_executions = successful_executions + 1, consecutive_failures = 0,"
    " baseline_sketch = COALESCE(jobs.baseline_sketch, triggered.baseline_sketch),"
    " baseline_snapshot = COALESCE(jobs.baseline_snapshot, triggered.baseline_snapshot)"
)
_STOPS = "consecutive_failures + 1 >= %(limit)s AND triggered.status IN ('active', 'paused')"
# A trigger that stands still has no next time, and nothing waits for its open run.
_FAILURE = (
    "consecutive_failures = consecutive_failures + 1,"
    f" status = CASE WHEN {_STOPS} THEN 'failed' ELSE triggered.status END,"
    f" next_scheduled_at = CASE WHEN {_STOPS} THEN NULL ELSE triggered.next_scheduled_at END,"
    f" next_due_at = CASE WHEN {_STOPS} THEN NULL ELSE triggered.next_due_at END,"
    f" buffered_at = CASE WHEN {_STOPS} THEN NULL ELSE triggered.buffered_at END"
)
