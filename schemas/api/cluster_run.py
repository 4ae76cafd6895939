"""Runs of clusters and their groups as they are read (contract 2.5, 4.10)."""

from typing import Literal

from pydantic import ConfigDict, Field

from schemas.api.alert_execution import InstantText
from schemas.api.base import ApiResponse, JsonObject
from schemas.api.pages import Pagination


class Centroid(ApiResponse):
    """``ClusterExecutionCentroid``; ``centroid_vector`` only where it was asked for."""

    model_config = ConfigDict(extra="allow")

    cluster_id: str = Field(min_length=1)
    num_members: int = Field(ge=0)
    label: str | None = None
    summary: str | None = None
    keywords: list[str] | None = None
    centroid_vector: list[float] | None = None
    mean_cosine_similarity: float | None = None
    parent_cluster_id: str | None = None


class ClusterExecutionResult(ApiResponse):
    """``ClusterExecutionResult``; keys of how it was made stand beside these."""

    model_config = ConfigDict(extra="allow")

    run_id: str
    cluster_id: str
    status: Literal["pending", "processing", "completed", "failed", "canceled"]
    num_clusters: int = Field(ge=0)
    num_points: int = Field(ge=0)
    metrics: JsonObject | None
    centroids: list[Centroid] | None
    created_at: InstantText
    completed_at: InstantText | None
    error_message: str | None
    mode: str
    task_id: str | None
    progress: float
    progress_message: str | None


class ClusterExecutionsResponse(ApiResponse):
    """Runs of a cluster, newest first."""

    results: list[ClusterExecutionResult]
    pagination: Pagination
    total_count: int


class ClusterGroup(ApiResponse):
    """One group of the newest completed run."""

    cluster_id: str
    label: str | None
    summary: str | None
    keywords: list[str] | None
    member_count: int
    parent_cluster_id: str | None


class ClusterGroupsResponse(ApiResponse):
    """The groups of the newest completed run, largest first."""

    cluster_id: str
    run_id: str
    total_groups: int
    total_documents: int
    groups: list[ClusterGroup]
