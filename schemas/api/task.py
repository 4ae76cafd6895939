"""Tasks (contract 2.10)."""

from typing import Any, Literal

from schemas.api.base import ApiResponse, JsonObject

TaskStatus = Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED", "CANCELED", "SKIPPED", "UNKNOWN"]
TaskType = Literal[
    "engine_cluster_build",
    "api_taxonomies_materialize",
    "api_buckets_batches_process",
    "api_collections_trigger",
    "api_retrievers_execute",
    "api_namespaces_delete",
]


class TaskResponse(ApiResponse):
    """``TaskResponse``: something that runs apart from the request that asked for it."""

    task_id: str
    task_type: TaskType
    status: TaskStatus
    inputs: list[Any] | None = None
    outputs: list[Any] | None = None
    additional_data: JsonObject | None = None
    error: str | None = None
