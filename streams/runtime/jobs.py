"""Jobs: one fire of one trigger, from decision to outcome. Shared by the stations that decide fires.

Queueing a job is one statement group inside the decider's transaction: the job row, the trigger's state, the
command for ``trigger-commands`` and the pending entry for ``trigger-results``. The job id derives from the
trigger and its fire, so deciding the same fire twice changes nothing.
"""

from typing import Any

from psycopg.types.json import Jsonb

from schemas.events.trigger import TriggerCommand
from schemas.topics import TRIGGER_COMMANDS, TRIGGER_RESULTS
from streams.runtime.cluster_runs import open_runs
from streams.runtime.database import Connection, notify
from streams.runtime.outbox import enqueue

CHANNEL = "tidewatch_jobs"
"""PostgreSQL notification channel that wakes the act station."""


async def insert_job(
    connection: Connection,
    command: TriggerCommand,
    baseline_sketch: bytes | None = None,
    baseline_snapshot: dict[str, Any] | None = None,
) -> bool:
    """Write only the job row, in the caller's transaction. False when there is one already."""
    inserted = await connection.execute(
        "INSERT INTO jobs (job_id, trigger_id, namespace_id, family, action_type, command, nominal_at,"
        " triggered_at, baseline_sketch, baseline_snapshot) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (job_id) DO NOTHING",
        (
            command.job_id,
            command.trigger_id,
            command.namespace_id,
            command.family,
            command.action_type,
            Jsonb(command.model_dump(mode="json")),
            command.nominal_at,
            command.triggered_at,
            baseline_sketch,
            None if baseline_snapshot is None else Jsonb(baseline_snapshot),
        ),
    )
    if inserted.rowcount == 1:
        await open_runs(connection, [command])
    return inserted.rowcount == 1


async def queue_job(
    connection: Connection,
    command: TriggerCommand,
    *,
    baseline_sketch: bytes | None = None,
    baseline_snapshot: dict[str, Any] | None = None,
) -> bool:
    """Queue ``command`` in the caller's transaction. False when this fire was queued before.

    The baseline becomes the trigger's own when the job succeeds (design section 5).
    """
    if not await insert_job(connection, command, baseline_sketch, baseline_snapshot):
        return False
    await connection.execute(
        "UPDATE trigger_state SET last_triggered_at = %s, last_job_id = %s, last_execution_status = 'pending',"
        " last_execution_error = NULL, updated_at = now() WHERE trigger_id = %s",
        (command.triggered_at, command.job_id, command.trigger_id),
    )
    pending = command.result("pending", 1)
    await enqueue(connection, TRIGGER_COMMANDS, command.key, command.encode())
    await enqueue(connection, TRIGGER_RESULTS, pending.key, pending.encode())
    await notify(connection, CHANNEL)
    return True
