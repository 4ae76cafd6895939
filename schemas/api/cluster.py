"""Clusters (contract 2.5, 4.10)."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from schemas.api.base import ApiRequest, ApiResponse, Instant, JsonObject, problem
from schemas.api.clustering import VectorConfig
from schemas.api.pages import Pagination


class AttributeConfig(ApiRequest):
    """How attributes are grouped."""

    attributes: list[str] = Field(min_length=1)
    hierarchical_grouping: bool = False
    aggregation_method: str | None = None


class CreateClusterRequest(ApiRequest):
    """``CreateClusterRequest``."""

    cluster_name: str | None = Field(None, min_length=1, max_length=200)
    description: str | None = Field(None, max_length=1_000)
    collection_ids: list[str] | None = Field(None, min_length=1)
    source_cluster_ids: list[str] | None = Field(None, min_length=1)
    metadata: JsonObject | None = None
    cluster_type: Literal["vector", "attribute"] | None = None
    vector_config: VectorConfig | None = None
    attribute_config: AttributeConfig | None = None
    filters: JsonObject | None = None
    llm_labeling: JsonObject | None = None
    enrich_source_collection: bool = False
    source_enrichment_config: JsonObject | None = None
    auto_execute_on_batch: bool = False
    auto_execute_min_documents: int | None = Field(None, ge=1)
    auto_execute_cooldown_seconds: int = Field(3600, ge=0)

    @model_validator(mode="after")
    def _has_input_and_method(self) -> Self:
        if self.collection_ids is None and self.source_cluster_ids is None:
            raise problem("name the collections to cluster", "collection_ids", kind="missing")
        if self.cluster_type is None:
            self.cluster_type = "attribute" if self.attribute_config and not self.vector_config else "vector"
        block = f"{self.cluster_type}_config"
        if getattr(self, block) is None:
            raise problem(f"cluster_type '{self.cluster_type}' needs {block}", block, kind="missing")
        return self


class PatchClusterRequest(ApiRequest):
    """What of a cluster may change."""

    cluster_name: str | None = Field(None, min_length=1, max_length=200)
    description: str | None = Field(None, max_length=1_000)
    metadata: JsonObject | None = None
    filters: JsonObject | None = None
    sample_size: int | None = Field(None, ge=1, le=1_000_000)
    algorithm_params: JsonObject | None = None
    source_cluster_ids: list[str] | None = Field(None, min_length=1)
    llm_labeling: JsonObject | None = None
    face_cluster_merge: Any = None
    layout_stability: Any = None


class ClusterResponse(ApiResponse):
    """``ClusterMetadata``."""

    cluster_id: str
    cluster_name: str
    description: str | None
    namespace_id: str
    input_collections: list[str]
    source_cluster_ids: list[str] | None
    cluster_type: str
    feature_uris: list[str] | None
    multi_feature_strategy: str | None
    clustered_attributes: list[str] | None
    algorithm: str | None
    algorithm_params: JsonObject | None
    sample_size: int | None
    filters: JsonObject | None
    metadata: JsonObject
    num_clusters: int | None
    num_documents_clustered: int | None
    status: str | None
    last_run_id: str | None
    last_execution_task_id: str | None
    last_executed_at: Instant | None
    created_at: Instant
    updated_at: Instant


class PatchClusterResponse(ApiResponse):
    """``ClusterModel``: what PATCH answers."""

    cluster_id: str
    cluster_name: str
    description: str | None
    collection_ids: list[str] | None
    source_cluster_ids: list[str] | None
    cluster_type: str
    vector_config: JsonObject | None
    attribute_config: JsonObject | None
    filters: JsonObject | None
    metadata: JsonObject
    num_clusters: int | None
    status: str | None
    last_run_id: str | None
    task_id: str | None
    created_at: Instant
    updated_at: Instant


class ListClustersResponse(ApiResponse):
    """``ListClustersResponse``."""

    results: list[ClusterResponse]
    pagination: Pagination
    total_count: int
