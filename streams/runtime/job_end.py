"""The end of a job, whoever decides it: act when its action ended, the API when somebody cancels it.

One transaction of the caller's holds everything: the job's row, the trigger's state and the record for
``trigger-results``. Both callers lock the row first and look at its status, so a job ends once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from schemas.events.trigger import RunStatus, TriggerCommand
from schemas.topics import TRIGGER_RESULTS
from streams.runtime.database import Connection
from streams.runtime.happenings import tell
from streams.runtime.outbox import MAX_RECORD_BYTES, enqueue
from streams.runtime.run_happenings import came_to

NEWEST = "triggered.last_triggered_at IS NULL OR triggered.last_triggered_at <= %(triggered_at)s"
"""Whether a job is the newest fire of its trigger, whose state ``last_execution_…`` tells."""

# Columns every ending sets. An older job that ends late does not hide what the newest one is doing.
ENDED = (
    "pending_job_id = NULLIF(triggered.pending_job_id, %(job_id)s),"
    f" last_job_id = CASE WHEN {NEWEST} THEN %(job_id)s ELSE triggered.last_job_id END,"
    f" last_execution_status = CASE WHEN {NEWEST} THEN %(status)s ELSE triggered.last_execution_status END,"
    f" last_execution_error = CASE WHEN {NEWEST} THEN %(error)s::text ELSE triggered.last_execution_error END,"
    " total_executions = triggered.total_executions + 1, updated_at = now()"
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended, as its result record tells it."""

    status: RunStatus
    error: str | None = None
    num_clusters: int | None = None
    num_documents: int | None = None
    facts: dict[str, Any] | None = None


async def end_job(
    connection: Connection,
    command: TriggerCommand,
    ending: Ending,
    *,
    revision: int,
    started_at: datetime | None,
    now: datetime,
) -> None:
    """Write the job's row and its record. The caller holds the row and writes the trigger's state."""
    await connection.execute(
        "UPDATE jobs SET status = %(status)s, revision = %(revision)s, finished_at = %(now)s, error = %(error)s,"
        " outcome = %(outcome)s, progress = CASE WHEN %(status)s = 'completed' THEN 1 ELSE progress END,"
        " lease_owner = NULL, lease_expires_at = NULL WHERE job_id = %(job_id)s",
        {
            "status": ending.status,
            "revision": revision,
            "now": now,
            "error": ending.error,
            "outcome": None if ending.facts is None else Jsonb(ending.facts),
            "job_id": command.job_id,
        },
    )
    taken = None if started_at is None else max(0, (now - started_at) // timedelta(milliseconds=1))
    result = command.result(
        ending.status,
        revision,
        finished_at=now,
        execution_time_ms=taken,
        error=ending.error,
        num_clusters=ending.num_clusters,
        num_documents=ending.num_documents,
        outcome=ending.facts,
    )
    value = result.encode()
    if len(value) > MAX_RECORD_BYTES:
        # A record that no topic takes would leave the history where it was; the task tells everything.
        left_out = {"left_out": f"{len(value):,} bytes, more than a record holds; the task's outputs have it"}
        value = result.model_copy(update={"outcome": left_out}).encode()
    await enqueue(connection, TRIGGER_RESULTS, result.key, value)
    ended = came_to(
        command,
        ending.status,
        error=ending.error,
        execution_time_ms=taken,
        num_documents=ending.num_documents,
    )
    await tell(connection, ended)


def trigger_values(command: TriggerCommand, ending: Ending) -> dict[str, Any]:
    """The values :data:`ENDED` names, and the trigger's id."""
    return {
        "job_id": command.job_id,
        "trigger_id": command.trigger_id,
        "triggered_at": command.triggered_at,
        "status": ending.status,
        "error": ending.error,
    }


async def cancel_job(connection: Connection, job_id: str, now: datetime, reason: str) -> bool:
    """Cancel a job that has not ended, in the caller's transaction. False when it has, or there is none.

    Whatever its worker still computes is refused from the commit on, and killed at its next heartbeat. Steps an
    action committed before stay; the record says how far it was. A cancellation is neither a success nor a
    failure of the trigger.
    """
    cursor = await connection.execute(
        "SELECT command, revision, started_at, progress, progress_message FROM jobs"
        " WHERE job_id = %s AND status IN ('pending', 'processing') FOR UPDATE",
        (job_id,),
    )
    row = await cursor.fetchone()
    if row is None:
        return False
    stored, revision, started_at, progress, words = row
    command = TriggerCommand.model_validate(stored)
    facts = {"canceled": reason, "progress": progress, "progress_message": words}
    ending = Ending("canceled", error=reason, facts=facts)
    await end_job(connection, command, ending, revision=revision + 1, started_at=started_at, now=now)
    await connection.execute(
        f"UPDATE trigger_state AS triggered SET {ENDED} WHERE triggered.trigger_id = %(trigger_id)s".encode(),
        trigger_values(command, ending),
    )
    return True
