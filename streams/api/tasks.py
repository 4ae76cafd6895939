"""Jobs as tasks (contract 2.10). Pure."""

from typing import Final

from schemas.api.base import JsonObject
from schemas.api.task import TaskResponse, TaskStatus, TaskType

TASK_TYPES: Final[dict[str, TaskType]] = {
    "cluster": "engine_cluster_build",
    "taxonomy_enrichment": "api_taxonomies_materialize",
    "batch_rerun": "api_buckets_batches_process",
    "collection_trigger": "api_collections_trigger",
    "retriever_execution": "api_retrievers_execute",
    "alert_evaluation": "api_retrievers_execute",
    "document_changes": "api_buckets_batches_process",
    "namespace_delete": "api_namespaces_delete",
}
STATUSES: Final[dict[str, TaskStatus]] = {
    "pending": "PENDING",
    "processing": "PROCESSING",
    "completed": "COMPLETED",
    "failed": "FAILED",
    "canceled": "CANCELED",
    "skipped": "SKIPPED",
}


def task_response(
    job_id: str,
    action_type: str,
    status: str,
    error: str | None,
    additional: JsonObject,
    outcome: JsonObject | None,
) -> TaskResponse:
    """A job as a task."""
    return TaskResponse(
        task_id=job_id,
        task_type=TASK_TYPES[action_type],
        status=STATUSES.get(status, "UNKNOWN"),
        outputs=None if outcome is None else [outcome],
        additional_data=additional,
        error=error,
    )
