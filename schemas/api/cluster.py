"""Clusters (contract 2.5, 4.10)."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from schemas.api.base import ApiRequest, ApiResponse, Instant, JsonObject, having, lacking, problem
from schemas.api.clustering import VectorConfig
from schemas.api.filters import Filter
from schemas.api.names import name_shape
from schemas.api.pages import ListRequest, Pagination, sorted_by
from schemas.api.target import TARGET, check_target

Path = Annotated[str, Field(min_length=1, max_length=500)]
RunId = Annotated[str, Field(min_length=1, max_length=200)]


_NAME: Final = name_shape("cluster")


class AttributeConfig(ApiRequest):
    """How attributes are grouped: dot paths from a document's root. The members of a group agree in every
    attribute, so how their values are aggregated makes no difference."""

    attributes: list[Path] = Field(min_length=1, max_length=20)
    hierarchical_grouping: bool = False
    aggregation_method: Literal["most_frequent", "first", "last"] | None = None


class FieldMapping(ApiRequest):
    """A field of the result and where in a document it is written."""

    source_field: Literal[
        "cluster_id", "cluster_label", "distance_to_centroid", "member_count", "keywords", "summary", "run_id"
    ]
    target_field: Annotated[Path, Field(json_schema_extra=TARGET)]

    @model_validator(mode="after")
    def _can_be_written(self) -> Self:
        check_target(self.target_field, "target_field")
        return self


DEFAULT_MAPPINGS: Final = tuple(
    {"source_field": name, "target_field": name}
    for name in ("cluster_id", "cluster_label", "distance_to_centroid")
)
"""What is written into documents when the cluster does not say."""


class SourceEnrichmentConfig(ApiRequest):
    """What is written into the clustered documents."""

    field_mappings: list[FieldMapping] | None = Field(None, min_length=1, max_length=20)


class CreateClusterRequest(ApiRequest):
    """``CreateClusterRequest``."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {"anyOf": [having("collection_ids"), having("source_cluster_ids")]},
                {
                    "anyOf": [
                        having("vector_config", cluster_type={"enum": ["vector", None]}),
                        having("attribute_config", cluster_type={"const": "attribute"}),
                        having("attribute_config", vector_config={"type": "null"}, cluster_type={"type": "null"}),
                    ]
                },
                {
                    "anyOf": [
                        having("auto_execute_on_batch", auto_execute_on_batch={"const": True}),
                        lacking("auto_execute_min_documents"),
                    ]
                },
                {
                    "anyOf": [
                        having("enrich_source_collection", enrich_source_collection={"const": True}),
                        lacking("source_enrichment_config"),
                    ]
                },
            ]
        }
    )

    cluster_name: str | None = Field(None, min_length=1, max_length=200, json_schema_extra=_NAME)
    description: str | None = Field(None, max_length=1_000)
    collection_ids: list[str] | None = Field(None, min_length=1)
    source_cluster_ids: list[str] | None = Field(None, min_length=1)
    metadata: JsonObject | None = None
    cluster_type: Literal["vector", "attribute"] | None = None
    vector_config: VectorConfig | None = None
    attribute_config: AttributeConfig | None = None
    filters: Filter | None = None
    llm_labeling: JsonObject | None = None
    enrich_source_collection: bool = False
    source_enrichment_config: SourceEnrichmentConfig | None = None
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
        if self.auto_execute_min_documents is not None and not self.auto_execute_on_batch:
            raise problem("has no effect without auto_execute_on_batch", "auto_execute_min_documents")
        if self.source_enrichment_config is not None and not self.enrich_source_collection:
            raise problem("has no effect without enrich_source_collection", "source_enrichment_config")
        return self


class ExecuteClusterRequest(ApiRequest):
    """One run of a cluster. Settings that only change pictures of the result are accepted and change nothing."""

    mode: Literal["full", "assign", "composite"] | None = None
    source_execution_ids: list[RunId] | None = Field(None, min_length=1, max_length=1_000)
    assignment_threshold: float = Field(0.5, ge=0, le=1)
    filters: Filter | None = None
    sample_size: int | None = Field(None, ge=1, le=1_000_000, strict=True)
    output_collection_ids: list[RunId] | None = Field(None, max_length=100)
    vis_n_components: int | None = Field(None, ge=2, le=3)
    defer_visualization: bool | None = None
    layout_stability: str | None = None
    llm_labeling: JsonObject | None = None


class PatchClusterRequest(ApiRequest):
    """What of a cluster may change."""

    cluster_name: str | None = Field(None, min_length=1, max_length=200, json_schema_extra=_NAME)
    description: str | None = Field(None, max_length=1_000)
    metadata: JsonObject | None = None
    filters: Filter | None = None
    sample_size: int | None = Field(None, ge=1, le=1_000_000, strict=True)
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


class ListClustersRequest(ListRequest):
    """``ListClustersRequest``."""

    model_config = ConfigDict(
        json_schema_extra=sorted_by(ClusterResponse, "id", "name", "cluster_id", "cluster_name")
    )


class ListClustersResponse(ApiResponse):
    """``ListClustersResponse``."""

    results: list[ClusterResponse]
    pagination: Pagination
    total_count: int


class CanceledRunResponse(ApiResponse):
    """What became of a request to cancel a run: ``status`` is the run's after it."""

    run_id: str
    cluster_id: str
    task_id: str
    status: str
    canceled: bool
