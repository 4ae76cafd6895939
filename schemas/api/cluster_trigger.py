"""Cluster triggers (contract 2.4, 4.9)."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, WithJsonSchema, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from schemas.api.base import ApiRequest, ApiResponse, Instant, JsonObject, having, or_null, problem, shape_by
from schemas.api.clustering import METHODS, Features, checked_parameters
from schemas.api.pages import WindowedListRequest
from schemas.api.schedule import ANY_SCHEDULE, SHAPES, TriggerType, read_schedule
from schemas.api.trigger import Status

_ACTIONS = ("cluster_id", "execution_config")
_METHODS = {"hierarchical": "agglomerative"}
_BESIDE = ("algorithm", "feature_uri", "feature_uris", "sample_size", "normalize_features")


_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "kmeans": ("n_clusters",),
    "hdbscan": ("min_cluster_size",),
    "hierarchical": (),
}
"""Algorithms, and the parameters each is not run without."""


def _by_algorithm(schema: JsonObject) -> None:
    """Say which parameters stand beside which algorithm."""
    beside = {name: or_null(field) for name, field in schema.pop("properties").items()}
    schema["anyOf"] = []
    for algorithm, needed in _NEEDED.items():
        shape = METHODS[_METHODS.get(algorithm, algorithm)].model_json_schema()
        own = {name: or_null(field) for name, field in shape["properties"].items()}
        own |= {name: {**own[name], "not": {"type": "null"}} for name in needed}
        shape |= {"properties": {**own, **beside, "algorithm": {"const": algorithm}}}
        schema["anyOf"].append(shape | {"required": ["algorithm", *needed], "title": algorithm})
    for gone in ("required", "additionalProperties"):
        schema.pop(gone, None)


class ClusteringConfig(ApiRequest):
    """The algorithm of an execution config, with its parameters beside it."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_by_algorithm)

    algorithm: Literal["kmeans", "hdbscan", "hierarchical"]
    feature_uri: str | None = Field(None, min_length=1, max_length=512)
    feature_uris: Features | None = None
    sample_size: int | None = Field(None, ge=1, le=1_000_000)
    normalize_features: bool | None = None

    @model_validator(mode="after")
    def _parameters(self) -> Self:
        given = {name: value for name, value in self.given().items() if name not in _BESIDE}
        for needed in _NEEDED[self.algorithm]:
            if given.get(needed) is None:
                raise problem(f"{self.algorithm} needs {needed}", needed, kind="missing")
        checked_parameters(_METHODS.get(self.algorithm, self.algorithm), given)
        return self


class ExecutionConfig(ApiRequest):
    """Which collections to cluster, and how."""

    collection_ids: list[str] = Field(min_length=1)
    config: ClusteringConfig


class CreateClusterTriggerRequest(ApiRequest):
    """``CreateTriggerRequest`` of the cluster family: a cluster, or an execution config."""

    trigger_type: TriggerType
    schedule_config: JsonObject
    cluster_id: str | None = Field(None, min_length=1)
    execution_config: ExecutionConfig | None = None
    description: str | None = Field(None, max_length=1_000)
    status: Literal["active", "paused"] = "active"

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = super().__get_pydantic_json_schema__(core, handler)
        shape_by(schema, handler, "trigger_type", "schedule_config", SHAPES)
        handler.resolve_ref_schema(schema)["oneOf"] = [having(name) for name in _ACTIONS]
        return schema

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        if self.cluster_id is None and self.execution_config is None:
            raise problem("give a cluster_id or an execution_config", "execution_config", kind="missing")
        if self.cluster_id is not None and self.execution_config is not None:
            raise problem("give a cluster_id or an execution_config, not both", "execution_config")
        self.schedule_config = read_schedule(self.trigger_type, self.schedule_config)
        return self


class PatchClusterTriggerRequest(ApiRequest):
    """What of a cluster trigger may change."""

    schedule_config: Annotated[JsonObject, WithJsonSchema(ANY_SCHEDULE)] | None = None
    description: str | None = Field(None, max_length=1_000)
    status: Literal["active", "paused", "disabled"] | None = None


class ListClusterTriggersRequest(WindowedListRequest):
    """Which cluster triggers to list."""

    cluster_id: str | None = None
    trigger_type: TriggerType | None = None
    status: Status | None = None


class ClusterTriggerResponse(ApiResponse):
    """``ClusterTrigger``. ``execution_count`` counts every execution, unlike a unified trigger's."""

    trigger_id: str
    cluster_id: str | None
    namespace_id: str
    internal_id: str
    execution_config: JsonObject
    trigger_type: str
    schedule_config: JsonObject
    status: Status
    last_triggered_at: Instant | None
    last_execution_job_id: str | None
    next_scheduled_at: Instant | None
    execution_count: int
    consecutive_failures: int
    last_execution_status: str | None
    last_execution_error: str | None
    event_counter: int
    last_cooldown_at: Instant | None
    created_at: Instant
    updated_at: Instant
    created_by: str | None
    description: str | None


class ListClusterTriggersResponse(ApiResponse):
    """``ListTriggersResponse`` of the cluster family."""

    results: list[ClusterTriggerResponse]
    total: int
    offset: int
    limit: int
