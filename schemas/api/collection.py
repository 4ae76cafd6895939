"""Collections and what is attached to them (contract 2.8, 4.3, 4.4)."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from schemas.api.base import SHAPE, ApiRequest, ApiResponse, Cooldown, Instant, JsonObject, having, problem
from schemas.api.pages import ListRequest, Pagination, sorted_by
from schemas.api.schedule import SHAPES

CollectionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{3,100}$")]
SourceType = Literal["bucket", "collection", "taxonomy", "cluster", "direct_upsert", "signals", "none"]
ExecutionMode = Literal["on_ingest", "scheduled", "on_demand"]
ON_INGEST: Final = "on_ingest"
"""The :data:`ExecutionMode` that runs an alert when a document arrives."""

PASSTHROUGH = "passthrough_extractor"
"""The extractor of a collection that declares none: vectors come in the documents."""


class Source(ApiRequest):
    """Where a collection's documents come from. The stream and the documents API feed every collection."""

    type: SourceType
    bucket_ids: list[str] | None = None
    source_namespace_id: str | None = None
    collection_id: str | None = None
    collection_ids: list[str] | None = None
    inherited_bucket_ids: list[str] | None = None
    source_filters: JsonObject | None = None
    field_map: JsonObject | None = None


class FeatureExtractor(ApiRequest):
    """A feature extractor; keys this server does not know are kept."""

    model_config = ConfigDict(extra="allow")

    feature_extractor_name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    parameters: JsonObject | None = None


class InputSource(ApiRequest):
    """Where a retriever input comes from."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                having("source_type", source_type={"const": "constant"}),
                having("source_type", "path", path={"minLength": 1}),
            ]
        }
    )

    source_type: Literal["document_field", "constant", "source_blob"]
    path: str | None = None
    value: Any = None

    @model_validator(mode="after")
    def _needs_path(self) -> Self:
        if self.source_type != "constant" and not self.path:
            raise problem(f"source_type '{self.source_type}' needs a path", "path", kind="missing")
        return self


class InputMapping(ApiRequest):
    """One retriever input."""

    input_key: str = Field(min_length=1)
    source: InputSource


class AlertApplication(ApiRequest):
    """An alert attached to a collection."""

    alert_id: str = Field(min_length=1)
    execution_mode: ExecutionMode = ON_INGEST
    input_mappings: list[InputMapping] = Field(min_length=1)
    execution_phase: int = Field(3, ge=1, le=4)
    priority: int = Field(0, ge=0, le=1000)


class ClusterApplication(ApiRequest):
    """A cluster that runs by itself as documents arrive: as its own ``auto_execute_on_batch`` does, after
    ``min_document_threshold`` new documents (absent: one), at most once per cooldown."""

    cluster_id: str = Field(min_length=1)
    auto_execute_on_batch: bool = True
    min_document_threshold: int | None = Field(None, ge=1, le=2**53)
    cooldown_seconds: Cooldown = 3600
    execution_phase: int = Field(2, ge=1, le=3)
    priority: int = Field(0, ge=0, le=1000)


class CollectionSchedule(ApiRequest):
    """When a collection is made again by itself, as ``POST …/trigger`` does."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {
                    "properties": {
                        "trigger_type": {"const": kind},
                        "schedule_config": {SHAPE: SHAPES[kind].__name__},
                    }
                }
                for kind in ("cron", "interval")
            ]
        }
    )

    trigger_type: Literal["cron", "interval"]
    schedule_config: JsonObject
    description: str | None = Field(None, max_length=1_000)


def _no_schedule(raw: Any) -> Any:
    """An empty object takes a schedule away."""
    return None if raw == {} else raw


Schedule = Annotated[CollectionSchedule | None, BeforeValidator(_no_schedule)]


def vector_indexes(extractor: Mapping[str, Any]) -> list[JsonObject]:
    """The vector indexes that a feature extractor declares."""
    name, version = extractor["feature_extractor_name"], extractor["version"]
    fields = (extractor.get("parameters") or {}).get("vector_fields") or ()
    return [
        {
            "name": field["name"],
            "feature_uri": f"mixpeek://{name}@{version}/{field['name']}",
            "type": "single",
            "index": {
                "name": f"{name}_{version}_{field['name']}",
                "dimensions": field.get("dimensions"),
                "distance": field.get("distance", "cosine"),
            },
        }
        for field in fields
        if isinstance(field, dict) and isinstance(field.get("name"), str)
    ]


def dimensions(extractor: Mapping[str, Any]) -> dict[str, int]:
    """By feature URI the dimensions that a feature extractor declares."""
    sizes = {index["feature_uri"]: index["index"]["dimensions"] for index in vector_indexes(extractor)}
    return {uri: size for uri, size in sizes.items() if type(size) is int}


class CreateCollectionRequest(ApiRequest):
    """``CreateCollectionRequest``."""

    collection_name: CollectionName
    source: Source
    description: str | None = Field(None, max_length=1_000)
    feature_extractor: FeatureExtractor | None = None
    features: list[str] | None = None
    input_schema: JsonObject | None = None
    enabled: bool = True
    metadata: JsonObject | None = None
    embedding_task: str | None = None
    alert_applications: list[AlertApplication] | None = None
    taxonomy_applications: list[JsonObject] | None = None
    cluster_applications: list[ClusterApplication] | None = Field(None, max_length=100)
    retriever_enrichments: list[JsonObject] | None = None
    schedule: Schedule = None
    retriever_transform: JsonObject | None = None


class PatchCollectionRequest(ApiRequest):
    """The fields of a collection that may change. Lists replace; an empty list detaches everything."""

    collection_name: CollectionName | None = None
    description: str | None = Field(None, max_length=1_000)
    enabled: bool | None = None
    metadata: JsonObject | None = None
    alert_applications: list[AlertApplication] | None = None
    taxonomy_applications: list[JsonObject] | None = None
    cluster_applications: list[ClusterApplication] | None = Field(None, max_length=100)
    retriever_enrichments: list[JsonObject] | None = None
    schedule: Schedule = None


class CollectionResponse(ApiResponse):
    """``CollectionResponse``."""

    collection_id: str
    collection_name: str
    description: str | None
    source: JsonObject
    feature_extractor: JsonObject
    input_schema: JsonObject | None
    vector_indexes: list[JsonObject]
    enabled: bool
    metadata: JsonObject
    alert_applications: list[JsonObject] | None
    cluster_applications: list[JsonObject] | None
    schedule: JsonObject | None
    trigger_id: str | None
    document_count: int
    lifecycle_state: str = "active"
    schema_version: int = 1
    created_at: Instant
    updated_at: Instant


class CloneCollectionRequest(ApiRequest):
    """``CloneCollectionRequest``: a new name, and what the copy has otherwise."""

    collection_name: CollectionName
    description: str | None = Field(None, max_length=1_000)
    source: Source | None = None
    feature_extractor: FeatureExtractor | None = None
    enabled: bool | None = None
    metadata: JsonObject | None = None
    taxonomy_applications: list[JsonObject] | None = None


class CloneCollectionResponse(ApiResponse):
    """The copy, wrapped, and what it is a copy of."""

    collection: CollectionResponse
    source_collection_id: str


class ListCollectionsRequest(ListRequest):
    """List style A. There are no collections of the system to include."""

    model_config = ConfigDict(
        json_schema_extra=sorted_by(CollectionResponse, "id", "name", "collection_id", "collection_name")
    )

    include_system: bool = False


class ListCollectionsResponse(ApiResponse):
    """``ListCollectionsResponse``."""

    results: list[CollectionResponse]
    pagination: Pagination
    total_count: int
