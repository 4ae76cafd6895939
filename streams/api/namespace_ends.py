"""The end of a namespace: what it defines goes at once, what it holds by a task (contract 2.7)."""

from datetime import datetime
from typing import Final

from schemas.events.definition import Kind
from streams.api import requested
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition, delete_definition, list_definitions
from streams.runtime.feeds import retract
from streams.runtime.job_end import cancel_job
from streams.runtime.jobs import queue_job

ACTION: Final = "namespace_delete"
_CONTENT: Final[tuple[Kind, ...]] = (
    "trigger",
    "cluster_trigger",
    "alert",
    "cluster",
    "taxonomy",
    "retriever",
    "collection",
)


async def end_namespace(connection: Connection, namespace: StoredDefinition, now: datetime) -> str:
    """Delete a namespace: nobody enters it, and nothing runs in it, once the caller has committed. Its rows are
    deleted by the task whose id is returned."""
    namespace_id = namespace.record.id
    # All jobs before their triggers, as act takes them; a running action writes nothing more from here on.
    open_jobs = await connection.execute(
        "SELECT job_id FROM jobs WHERE namespace_id = %s AND status IN ('pending', 'processing') ORDER BY 1"
        " FOR UPDATE",
        (namespace_id,),
    )
    for (job_id,) in await open_jobs.fetchall():
        await cancel_job(connection, job_id, now, "its namespace was deleted")
    await retract(connection, namespace_id)
    for kind in _CONTENT:
        for item in await list_definitions(connection, kind, namespace_id):
            await delete_definition(connection, kind, namespace_id, item.record.id)
    await connection.execute("DELETE FROM trigger_state WHERE namespace_id = %s", (namespace_id,))
    await delete_definition(connection, "namespace", "", namespace_id)
    command = requested.run_of(namespace_id, namespace_id, ACTION, {"namespace_id": namespace_id}, now)
    await queue_job(connection, command)
    return command.job_id
