"""Cluster bodies: from a request, under a PATCH, to a response (contract 4.10). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.api.base import JsonObject
from schemas.api.cluster import (
    ClusterResponse,
    CreateClusterRequest,
    ExecuteClusterRequest,
    PatchClusterRequest,
    PatchClusterResponse,
)
from schemas.api.clustering import METHODS, MISSING_METHODS, VectorConfig, checked_parameters, parameters_of
from schemas.features import HASHING
from streams.api.names import not_enabled
from streams.retrieval.sifting import read_filter
from streams.runtime.definitions import StoredDefinition
from streams.runtime.http.errors import conflict


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of a cluster, and what the newest completed one found."""

    run_id: str
    job_id: str
    status: str
    num_clusters: int | None
    num_points: int | None
    created_at: datetime


_OTHERWISE = {
    "output_strategy": ("single",),
    "effective_feature_method": ("mean",),
    "enrich_source": (False,),
    "face_cluster_merge": (),
    "weight_learning_config": (),
}
"""Settings beside the contract's that change the result, and the values that do not."""


def check_enabled(request: CreateClusterRequest) -> None:
    """Refuse (403) a clustering nothing here would run as asked, and (422) filters that cannot be read."""
    config = request.vector_config
    if config is not None:
        method = config.clustering_method
        if (why := MISSING_METHODS.get(method)) is not None:
            raise not_enabled(f"clustering_method {method!r}: {why}. It", ", ".join(METHODS))
        if config.multi_feature_strategy == "independent":
            raise not_enabled("multi_feature_strategy 'independent'", "one cluster per feature")
        for name, harmless in _OTHERWISE.items():
            if (value := (config.model_extra or {}).get(name)) is not None and value not in harmless:
                raise not_enabled(f"vector_config.{name}", "enrich_source_collection, and means as centroids")
    if request.source_cluster_ids is not None and request.cluster_type != "vector":
        raise conflict("only vector clusters have centroids to cluster", "body", "source_cluster_ids")
    check_filters(request.filters, "filters")
    check_labeling(request.llm_labeling)


def check_labeling(llm_labeling: JsonObject | None) -> None:
    """Refuse (403) labels by a language model."""
    if llm_labeling and llm_labeling.get("enabled"):
        raise not_enabled("llm_labeling", "labels and keywords from the clusters' own terms, without it")


def check_filters(filters: JsonObject | None, *location: str) -> None:
    """Refuse (422) filters that cannot be read; ``location`` is their place in the body."""
    if filters is not None:
        read_filter(filters, *location)


def new_body(request: CreateClusterRequest, cluster_id: str, collection_ids: Sequence[str]) -> JsonObject:
    """The body of a new cluster; one created without a name is called after its id."""
    body = request.filled()
    body.update(cluster_id=cluster_id, cluster_name=request.cluster_name or cluster_id)
    body["collection_ids"] = list(collection_ids)
    return body


def patched_body(body: JsonObject, request: PatchClusterRequest) -> JsonObject:
    """``body`` with what the request changes. Raises 403 for what nothing here would do, 422 for filters that
    cannot be read, and ``ValidationError`` for a parameter the method has not."""
    kept = ("cluster_name", "description", "metadata", "filters", "source_cluster_ids")
    if request.face_cluster_merge:
        raise not_enabled("face_cluster_merge", ", ".join((*kept, "sample_size", "algorithm_params")))
    check_labeling(request.llm_labeling)
    check_filters(request.filters, "filters")
    given = request.given()
    changed = {**body, **{name: given[name] for name in kept if name in given}}
    settings = {name: given[name] for name in ("sample_size", "algorithm_params") if name in given}
    if settings and body["cluster_type"] != "vector":
        raise conflict("a cluster by attributes has no such setting", "body", next(iter(settings)))
    if settings:
        config = {**body["vector_config"], **settings}
        checked_parameters(config["clustering_method"], config.get("algorithm_params") or {}, "algorithm_params")
        changed["vector_config"] = VectorConfig.model_validate(config).filled()
    return changed


def run_config(request: ExecuteClusterRequest, stored: StoredDefinition) -> JsonObject:
    """The ``action_config`` of one run. Raises 403 for what nothing here would do, 422 for what cannot work."""
    body = stored.body
    check_labeling(request.llm_labeling)
    check_filters(request.filters, "filters")
    mode = request.mode or ("composite" if body.get("source_cluster_ids") else "full")
    if mode != "full" and body["cluster_type"] != "vector":
        raise conflict(f"mode {mode} needs centroids, which a clustering by attributes has not", "body", "mode")
    sources = request.source_execution_ids or ()
    if mode == "composite" and len(sources) < 2 and not (not sources and body.get("source_cluster_ids")):
        raise conflict("mode composite needs two or more runs", "body", "source_execution_ids")
    kept = ("source_execution_ids", "filters", "sample_size", "output_collection_ids")
    given = request.given()
    return {
        "cluster_id": stored.record.id,
        "mode": mode,
        "assignment_threshold": request.assignment_threshold,
        **{name: given[name] for name in kept if given.get(name)},
    }


def execution_config(body: JsonObject) -> JsonObject:
    """What a cluster trigger of this cluster runs, as such a trigger shows it (contract 4.9)."""
    if body["cluster_type"] == "attribute":
        return {
            "collection_ids": body["collection_ids"],
            "config": {"algorithm": "attribute_based", **body["attribute_config"]},
        }
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
    config: JsonObject | None = body.get("vector_config") if body["cluster_type"] == "vector" else None
    attributes: JsonObject = body.get("attribute_config") or {}
    return ClusterResponse(
        cluster_id=stored.record.id,
        cluster_name=body["cluster_name"],
        description=body.get("description"),
        namespace_id=stored.record.namespace_id,
        input_collections=body["collection_ids"],
        source_cluster_ids=body.get("source_cluster_ids"),
        cluster_type=body["cluster_type"],
        feature_uris=None if config is None else _features(config),
        multi_feature_strategy=None if config is None else config.get("multi_feature_strategy"),
        clustered_attributes=None if config is not None else attributes.get("attributes"),
        algorithm="attribute_based" if config is None else config["clustering_method"],
        algorithm_params=None if config is None else parameters_of(config),
        sample_size=None if config is None else config.get("sample_size"),
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
        source_cluster_ids=body.get("source_cluster_ids"),
        cluster_type=body["cluster_type"],
        vector_config=body.get("vector_config"),
        attribute_config=body.get("attribute_config"),
        filters=body.get("filters"),
        metadata=body.get("metadata") or {},
        num_clusters=None if run is None else run.num_clusters,
        status=None if run is None else run.status.upper(),
        last_run_id=None if run is None else run.run_id,
        task_id=None if run is None else run.job_id,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )
