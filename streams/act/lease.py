"""The lease on a job: taken, renewed and given back, each by one guarded statement.

``claim_epoch`` rises with every claim. Whoever writes must name the epoch it claimed with, so a worker that
was away too long (a zombie) changes nothing, however its clock stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from schemas.events.trigger import RunStatus, TriggerCommand, TriggerResult
from schemas.topics import TRIGGER_RESULTS
from streams.runtime.database import Connection, notify
from streams.runtime.happenings import tell
from streams.runtime.job_end import NEWEST
from streams.runtime.jobs import BACKFILLED, CHANNEL
from streams.runtime.outbox import enqueue
from streams.runtime.run_happenings import came_to


@dataclass(frozen=True, slots=True)
class Job:
    """A job as claimed by this worker."""

    command: TriggerCommand
    claim_epoch: int
    revision: int
    attempts: int
    """Claims so far, this one included."""
    started_at: datetime
    """The instant of this claim."""
    last_error: str | None
    """Why the attempt before this one gave the job back, if it could say."""
    checkpoint: Mapping[str, Any] | None = None
    """What the last committed step of the action saved; ``None`` when none was."""
    progress: tuple[float, str] = (0.0, "")
    """How far the attempts before this one came: from 0 to 1, and in words."""

    @property
    def job_id(self) -> str:
        """The job's id, derived from the trigger and its fire."""
        return self.command.job_id

    def result(self, status: RunStatus, revision: int, **fields: Any) -> TriggerResult:
        """The record of this job for ``trigger-results``."""
        return self.command.result(status, revision, **fields)


async def claim(connection: Connection, owner: str, now: datetime, lease: timedelta) -> Job | None:
    """Take a job whose lease has run out, or else one that waits, in the caller's transaction.

    Triggers take turns, each with its oldest job first: one that asks every second starves no other. Backfilled
    jobs come after all others: a thousand of them must not hold up what is due now.
    """
    cursor = await connection.execute(
        "UPDATE jobs SET status = 'processing', claim_epoch = claim_epoch + 1, attempts = attempts + 1,"
        " revision = revision + 1, lease_owner = %(owner)s, lease_expires_at = %(expires)s, started_at = %(now)s,"
        # Without a checkpoint the work begins again.
        " progress = CASE WHEN checkpoint IS NULL THEN 0 ELSE progress END,"
        " progress_message = CASE WHEN checkpoint IS NULL THEN '' ELSE progress_message END"
        " WHERE job_id = COALESCE((SELECT job_id FROM jobs"
        " WHERE status = 'processing' AND lease_expires_at < %(now)s"
        " ORDER BY triggered_at, job_id FOR UPDATE SKIP LOCKED LIMIT 1),"
        f" (SELECT job_id FROM jobs WHERE status = 'pending' ORDER BY {BACKFILLED}, turn, triggered_at, job_id"
        " FOR UPDATE SKIP LOCKED LIMIT 1))"
        " RETURNING command, claim_epoch, revision, attempts, started_at, error, checkpoint, progress,"
        " progress_message",
        {"owner": owner, "expires": now + lease, "now": now},
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    stored, epoch, revision, attempts, started_at, error, checkpoint, fraction, words = row
    command = TriggerCommand.model_validate(stored)
    job = Job(command, epoch, revision, attempts, started_at, error, checkpoint, (fraction, words))
    await _tell(connection, job, "processing", job.revision)
    await tell(connection, came_to(command, "processing"))
    return job


async def renew(connection: Connection, job: Job, expires: datetime, progress: tuple[float, str]) -> bool:
    """Keep the job until ``expires`` and tell how far it is. False when it is no longer this worker's: taken
    over, canceled or ended."""
    fraction, words = progress
    updated = await connection.execute(
        "UPDATE jobs SET lease_expires_at = %(expires)s, progress = greatest(progress, %(fraction)s),"
        # A step may have told more while this waited for its row.
        " progress_message = CASE WHEN progress <= %(fraction)s THEN %(words)s ELSE progress_message END"
        " WHERE job_id = %(job_id)s AND claim_epoch = %(epoch)s AND status = 'processing'",
        {
            "expires": expires,
            "fraction": fraction,
            "words": words,
            "job_id": job.job_id,
            "epoch": job.claim_epoch,
        },
    )
    return updated.rowcount == 1


async def save(
    connection: Connection, job: Job, checkpoint: Mapping[str, Any], progress: tuple[float, str]
) -> None:
    """Save a step's checkpoint in its transaction, after ``hold``. Attempts count from the last one saved: a
    long action is given up for standing still, not for outliving workers."""
    await connection.execute(
        "UPDATE jobs SET checkpoint = %s, progress = %s, progress_message = %s, attempts = 1 WHERE job_id = %s",
        (Jsonb(dict(checkpoint)), *progress, job.job_id),
    )


async def give_back(connection: Connection, job: Job, *, error: str | None = None) -> bool:
    """Put the job back in the caller's transaction, for any worker to take at once.

    ``error`` is why this attempt came to nothing; without one the attempt does not count (the worker was
    asked to stop). False when the job is no longer this worker's.
    """
    cursor = await connection.execute(
        "UPDATE jobs SET status = 'pending', revision = revision + 1, lease_owner = NULL, lease_expires_at = NULL,"
        " attempts = attempts - %(uncounted)s, error = COALESCE(%(error)s, error)"
        " WHERE job_id = %(job_id)s AND claim_epoch = %(epoch)s AND status = 'processing' RETURNING revision",
        {"uncounted": int(error is None), "error": error, "job_id": job.job_id, "epoch": job.claim_epoch},
    )
    row = await cursor.fetchone()
    if row is None:
        return False
    await _tell(connection, job, "pending", row[0])
    await notify(connection, CHANNEL)
    return True


async def _tell(connection: Connection, job: Job, status: RunStatus, revision: int) -> None:
    await connection.execute(
        "UPDATE trigger_state AS triggered SET last_execution_status = %(status)s, updated_at = now()"
        f" WHERE trigger_id = %(trigger_id)s AND ({NEWEST})",
        {
            "status": status,
            "trigger_id": job.command.trigger_id,
            "triggered_at": job.command.triggered_at,
        },
    )
    result = job.result(status, revision)
    await enqueue(connection, TRIGGER_RESULTS, result.key, result.encode())
