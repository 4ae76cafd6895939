"""Cluster bodies: from a request, under a PATCH, to a response (contract 4.10). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.api.base import JsonObject
from schemas.api.cluster import ClusterResponse, CreateClusterRequest, PatchClusterRequest, PatchClusterResponse
from schemas.api.clustering import PARAMETERS, VectorConfig, check_parameters, parameters_of
from schemas.features import HASHING
from streams.api.names import not_enabled
from streams.engines.retrieval.errors import FilterError
from streams.engines.retrieval.filters.parse import parse_filter
from streams.runtime.definitions import StoredDefinition
from streams.runtime.http.errors import invalid


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of a cluster."""

    run_id: str
    job_id: str
    status: str
    num_clusters: int
    num_points: int
    created_at: datetime


def check_enabled(request: CreateClusterRequest) -> None:
    """Refuse (403) a clustering nothing here would run as asked."""
    config = request.vector_config
    if request.source_cluster_ids is not None:
        raise not_enabled("A cluster over other clusters", "collection_ids")
    if config is None or request.cluster_type != "vector":
        raise not_enabled("cluster_type 'attribute'", "cluster_type 'vector'")
    if config.clustering_method not in PARAMETERS:
        raise not_enabled(f"clustering_method {config.clustering_method!r}", ", ".join(PARAMETERS))
    if len(config.feature_uris or ()) > 1:
        raise not_enabled("Clustering over several features", "one feature")
    if config.hierarchical or [step for step in config.preprocessing_steps or () if step not in ("none", None)]:
        raise not_enabled("hierarchical clustering and preprocessing", "plain clustering")
    check_filters(request.filters, "filters")
    if request.auto_execute_on_batch or request.enrich_source_collection or request.llm_labeling:
        raise not_enabled(
            "auto_execute_on_batch, enrich_source_collection and llm_labeling", "a trigger that runs the cluster"
        )


def check_filters(filters: JsonObject | None, *location: str) -> None:
    """Refuse (422) filters that cannot be read; ``location`` is their place in the body."""
    if filters is None:
        return
    try:
        parse_filter(filters, place=location[-1])
    except FilterError as error:
        raise invalid(str(error), "body", *location) from error


def new_body(request: CreateClusterRequest, cluster_id: str, collection_ids: Sequence[str]) -> JsonObject:
    """The body of a new cluster; one created without a name is called after its id."""
    body = request.filled()
    body.update(cluster_id=cluster_id, cluster_name=request.cluster_name or cluster_id)
    body["collection_ids"] = list(collection_ids)
    return body


def patched_body(body: JsonObject, request: PatchClusterRequest) -> JsonObject:
    """``body`` with what the request changes. Raises 403 for what nothing here would do, 422 for filters that
    cannot be read, and ``ValidationError`` for a parameter the method has not."""
    kept = ("cluster_name", "description", "metadata", "filters")
    for name in ("source_cluster_ids", "llm_labeling", "face_cluster_merge"):
        if getattr(request, name):
            raise not_enabled(name, ", ".join((*kept, "sample_size", "algorithm_params")))
    check_filters(request.filters, "filters")
    given = request.given()
    changed = {**body, **{name: given[name] for name in kept if name in given}}
    config = {**body["vector_config"], **{k: given[k] for k in ("sample_size", "algorithm_params") if k in given}}
    check_parameters(config["clustering_method"], config.get("algorithm_params") or {}, "algorithm_params")
    changed["vector_config"] = VectorConfig.model_validate(config).filled()
    return changed


def execution_config(body: JsonObject) -> JsonObject:
    """What a cluster trigger of this cluster runs, as such a trigger shows it (contract 4.9)."""
    config = body["vector_config"]
    beside = ("feature_uri", "feature_uris", "sample_size", "normalize_features")
    return {
        "collection_ids": body["collection_ids"],
        "config": {
            "algorithm": config["clustering_method"],
            **parameters_of(config),
            **{name: config[name] for name in beside if name in config},
        },
    }


def _features(config: JsonObject) -> list[str]:
    return config.get("feature_uris") or [config.get("feature_uri") or HASHING]


def response(stored: StoredDefinition, run: LastRun | None) -> ClusterResponse:
    """A cluster as it is shown, with its newest run."""
    body = stored.body
    config: JsonObject = body["vector_config"]
    return ClusterResponse(
        cluster_id=stored.record.id,
        cluster_name=body["cluster_name"],
        description=body.get("description"),
        namespace_id=stored.record.namespace_id,
        input_collections=body["collection_ids"],
        source_cluster_ids=None,
        cluster_type=body["cluster_type"],
        feature_uris=_features(config),
        multi_feature_strategy=config.get("multi_feature_strategy"),
        clustered_attributes=None,
        algorithm=config["clustering_method"],
        algorithm_params=parameters_of(config),
        sample_size=config.get("sample_size"),
        filters=body.get("filters"),
        metadata=body.get("metadata") or {},
        num_clusters=None if run is None else run.num_clusters,
        num_documents_clustered=None if run is None else run.num_points,
        status=None if run is None else run.status.upper(),
        last_run_id=None if run is None else run.run_id,
        last_execution_task_id=None if run is None else run.job_id,
        last_executed_at=None if run is None else run.created_at,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )


def patch_response(stored: StoredDefinition, run: LastRun | None) -> PatchClusterResponse:
    """A cluster as PATCH shows it."""
    body = stored.body
    return PatchClusterResponse(
        cluster_id=stored.record.id,
        cluster_name=body["cluster_name"],
        description=body.get("description"),
        collection_ids=body["collection_ids"],
        source_cluster_ids=None,
        cluster_type=body["cluster_type"],
        vector_config=body["vector_config"],
        attribute_config=None,
        filters=body.get("filters"),
        metadata=body.get("metadata") or {},
        num_clusters=None if run is None else run.num_clusters,
        status=None if run is None else run.status.upper(),
        last_run_id=None if run is None else run.run_id,
        task_id=None if run is None else run.job_id,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )
