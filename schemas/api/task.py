"""Tasks (contract 2.10)."""

from typing import Any, Literal

from pydantic import ConfigDict

from schemas.api.base import ApiResponse, JsonObject
from schemas.api.pages import ListRequest, Pagination, sorted_by

TaskStatus = Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED", "CANCELED", "SKIPPED", "UNKNOWN"]
AnyTaskStatus = Literal[
    "PENDING",
    "QUEUED",
    "IN_PROGRESS",
    "PROCESSING",
    "COMPLETED",
    "COMPLETED_WITH_ERRORS",
    "FAILED",
    "CANCELED",
    "INTERRUPTED",
    "UNKNOWN",
    "SKIPPED",
    "DRAFT",
    "ACTIVE",
    "ARCHIVED",
    "SUSPENDED",
    "DEACTIVATED",
]
"""Every word of the contract; a :data:`TaskStatus` is one that tasks here have."""
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


class ListTasksRequest(ListRequest):
    """List style A, and two filters."""

    model_config = ConfigDict(json_schema_extra=sorted_by(TaskResponse, "created_at"))

    status: AnyTaskStatus | None = None
    task_type: str | None = None


class ListTasksResponse(ApiResponse):
    """``ListTasksResponse``."""

    results: list[TaskResponse]
    pagination: Pagination
    total_count: int
