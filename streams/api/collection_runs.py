"""Making a collection again on request: a job as a trigger of type ``collection_trigger`` would queue it."""

from datetime import datetime
from typing import Final

from schemas.api.base import JsonObject
from schemas.api.collection_run import TriggerCollectionRequest, TriggerCollectionResponse
from streams.api import requested
from streams.api.counts import document_counts
from streams.api.trigger_actions import check_action, resolve_action
from streams.runtime.database import Connection
from streams.runtime.jobs import queue_job

ACTION: Final = "collection_trigger"


async def queue_collection_run(
    connection: Connection,
    namespace_id: str,
    collection_id: str,
    request: TriggerCollectionRequest,
    now: datetime,
) -> TriggerCollectionResponse:
    """Queue the run in the caller's transaction. Raises 403, 404 and 422 as for a trigger."""
    config: JsonObject = {
        "collection_id": collection_id,
        **request.model_dump(exclude={"object_ids", "reembed"}),
    }
    check_action(ACTION, config)
    config, sources = await resolve_action(connection, namespace_id, ACTION, config)
    config["document_ids"] = request.object_ids
    command = requested.run_of(collection_id, namespace_id, ACTION, config, now)
    await queue_job(connection, command)
    counts = await document_counts(connection, namespace_id, sources)
    return TriggerCollectionResponse(
        task_id=command.job_id,
        batch_id=command.job_id,
        collection_id=collection_id,
        source_collection_ids=sources,
        document_count=sum(counts.values()),
        total_tiers=1,
        message=f"The documents of {', '.join(sources)} are being written through the stream; see the task",
    )
