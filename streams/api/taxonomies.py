"""Taxonomy bodies: from a request, under a PATCH, to a response (contract 4.11). Pure."""

from pydantic import ValidationError

from schemas.api.base import JsonObject
from schemas.api.taxonomy import (
    CloneTaxonomyRequest,
    Config,
    CreateTaxonomyRequest,
    HierarchicalConfig,
    PatchTaxonomyRequest,
    TaxonomyResponse,
)
from streams.api.names import not_enabled
from streams.engines.retrieval.stages.taxonomy import TaxonomyError, roots
from streams.runtime.definitions import StoredDefinition
from streams.runtime.http.errors import ApiError, conflict, invalid, refused

_INFERRING = (
    "inference_strategy",
    "inference_collections",
    "cluster_ids",
    "path_field",
    "llm_provider",
    "llm_model",
    "llm_prompt_template",
    "llm_sample_size",
)


def check_enabled(config: Config) -> None:
    """Refuse (403) what nothing here would do with a taxonomy."""
    if isinstance(config, HierarchicalConfig):
        for name in _INFERRING:
            if getattr(config, name):
                raise not_enabled(f"A hierarchy that is inferred ({name})", "hierarchical_nodes")
    if config.step_analytics:
        raise not_enabled("step_analytics", "a taxonomy without it")


def check_tree(config: JsonObject) -> None:
    """Refuse a config, its references as ids, that cannot be matched (422), or whose nodes are no tree (409)."""
    try:
        roots(config)
    except TaxonomyError as error:
        refusal = conflict if error.contradicts else invalid
        raise refusal(str(error), "body", "config", *error.where) from error


def new_body(request: CreateTaxonomyRequest, taxonomy_id: str, config: JsonObject) -> JsonObject:
    """The body of a new taxonomy; ``config`` is the request's, its references as ids."""
    return {
        "taxonomy_id": taxonomy_id,
        "taxonomy_name": request.taxonomy_name,
        "description": request.description,
        "config": config,
        "metadata": request.metadata or {},
        "version": 1,
    }


def clone_request(source: JsonObject, request: CloneTaxonomyRequest) -> CreateTaxonomyRequest:
    """What creates a copy of ``source`` with what the request has otherwise. Raises 422."""
    copied = {name: source.get(name) for name in ("description", "config", "metadata")}
    try:
        return CreateTaxonomyRequest.model_validate({**copied, **request.given()})
    except ValidationError as error:
        raise refused(error, "body") from error


def patched_body(body: JsonObject, request: PatchTaxonomyRequest) -> JsonObject:
    """``body`` with what the request changes. Raises 400 for a request that changes nothing."""
    given = request.given()
    if not given:
        raise ApiError(400, "Give at least one of taxonomy_name, description, metadata")
    return {**body, **given}


def response(stored: StoredDefinition) -> TaxonomyResponse:
    """A taxonomy as it is shown."""
    body = stored.body
    config: JsonObject = body["config"]
    return TaxonomyResponse(
        taxonomy_id=stored.record.id,
        version=body["version"],
        taxonomy_name=body["taxonomy_name"],
        description=body.get("description"),
        retriever_id=config.get("retriever_id"),
        input_mappings=config.get("input_mappings"),
        config=config,
        nodes=None,
        ready=True,
        metadata=body.get("metadata") or {},
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )
