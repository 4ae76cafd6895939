"""Collection bodies: from a request, under a PATCH, to a response (contract 4.3, 4.4). Pure."""

from collections.abc import Sequence

from schemas.api.base import JsonObject
from schemas.api.collection import (
    PASSTHROUGH,
    AlertApplication,
    CloneCollectionRequest,
    CollectionResponse,
    CreateCollectionRequest,
    PatchCollectionRequest,
)
from schemas.api.collection import vector_indexes as indexes_of
from streams.api.names import not_enabled
from streams.runtime.definitions import StoredDefinition

_UNAVAILABLE = {
    "taxonomy_applications": "a trigger with an action of type taxonomy_enrichment",
    "retriever_enrichments": "a stage document_enrich in a retriever",
    "retriever_transform": "alert_applications, cluster_applications, schedule",
}


def check_enabled(request: CreateCollectionRequest | PatchCollectionRequest) -> None:
    """Refuse (403) post-processing that nothing here would run."""
    for name, instead in _UNAVAILABLE.items():
        if getattr(request, name, None):
            raise not_enabled(name, instead)


def application_body(application: AlertApplication, alert_id: str) -> JsonObject:
    """An attachment as stored, with the alert's id."""
    return {**application.filled(), "alert_id": alert_id}


def _extractor(request: CreateCollectionRequest) -> JsonObject:
    if request.feature_extractor is None:
        return {
            "feature_extractor_name": PASSTHROUGH,
            "version": "v1",
            "feature_extractor_id": f"{PASSTHROUGH}_v1",
        }
    given = request.feature_extractor.filled()
    name, version = given["feature_extractor_name"], given["version"]
    # An empty object, or one that does not say whose it is, would be read as another extractor's.
    if parameters := given.pop("parameters", None):
        given["parameters"] = {"extractor_type": name, **parameters}
    return {**given, "feature_extractor_id": f"{name}_{version}"}


def new_body(request: CreateCollectionRequest, collection_id: str) -> JsonObject:
    """The body of a new collection, without what is attached to it."""
    return {
        "collection_id": collection_id,
        "collection_name": request.collection_name,
        "description": request.description,
        "source": request.source.filled(),
        "feature_extractor": _extractor(request),
        "input_schema": request.input_schema,
        "enabled": request.enabled,
        "metadata": request.metadata or {},
        "alert_applications": None,
    }


def clone_request(source: JsonObject, request: CloneCollectionRequest) -> CreateCollectionRequest:
    """What creates a copy of ``source`` with what the request has otherwise. A cluster clusters the collections
    that it names, so none comes along."""
    extractor = {
        name: value for name, value in source["feature_extractor"].items() if name != "feature_extractor_id"
    }
    copied = ("description", "source", "input_schema", "enabled", "metadata", "alert_applications", "schedule")
    fields = {name: source.get(name) for name in copied}
    return CreateCollectionRequest.model_validate({**fields, "feature_extractor": extractor, **request.given()})


def patched_body(
    body: JsonObject, request: PatchCollectionRequest, applications: Sequence[JsonObject] | None
) -> JsonObject:
    """``body`` with what the request changes; ``applications`` replace the attached alerts when given."""
    given = request.given()
    kept = ("collection_name", "description", "enabled", "metadata")
    changed = {**body, **{name: given[name] for name in kept if name in given}}
    if applications is not None:
        changed["alert_applications"] = list(applications) or None
    return changed


def without_alert(body: JsonObject, alert_id: str) -> JsonObject:
    """``body`` with an alert detached."""
    left = [item for item in body.get("alert_applications") or () if item["alert_id"] != alert_id]
    return {**body, "alert_applications": left or None}


def vector_indexes(body: JsonObject) -> list[JsonObject]:
    """The vector indexes that the collection's extractor declares."""
    return indexes_of(body["feature_extractor"])


def response(stored: StoredDefinition, document_count: int) -> CollectionResponse:
    """A collection as it is shown."""
    body = stored.body
    return CollectionResponse(
        collection_id=stored.record.id,
        collection_name=body["collection_name"],
        description=body.get("description"),
        source=body["source"],
        feature_extractor=body["feature_extractor"],
        input_schema=body.get("input_schema"),
        vector_indexes=vector_indexes(body),
        enabled=body["enabled"],
        metadata=body["metadata"],
        alert_applications=body.get("alert_applications"),
        cluster_applications=body.get("cluster_applications"),
        schedule=body.get("schedule"),
        trigger_id=body.get("trigger_id"),
        document_count=document_count,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )
