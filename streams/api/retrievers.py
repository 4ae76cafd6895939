"""Retriever bodies: from a request, under a PATCH, to a response (contract 4.5). Pure."""

from collections.abc import Sequence

from schemas.api.base import JsonObject
from schemas.api.retriever import (
    CloneRetrieverRequest,
    CreateRetrieverRequest,
    PatchRetrieverRequest,
    RetrieverResponse,
    StageOutput,
    input_fields,
)
from streams.api.stages import check_runnable, feature_address, feature_uris, fusion, stored_stages
from streams.engines.retrieval.errors import InputError
from streams.engines.retrieval.execution.inputs import check_schema
from streams.runtime.definitions import StoredDefinition
from streams.runtime.http.errors import conflict, invalid

_KEPT = (
    "description",
    "tags",
    "metadata",
    "display_config",
    "visibility",
    "requires_subscription",
    "marketplace_listing_id",
)


def new_body(request: CreateRetrieverRequest, retriever_id: str, collection_ids: Sequence[str]) -> JsonObject:
    """The body of a new retriever; ``collection_ids`` are the resolved ones. Raises 422 for one that could never
    run."""
    body: JsonObject = {
        "retriever_id": retriever_id,
        "retriever_name": request.retriever_name,
        "collection_identifiers": list(collection_ids),
        "stages": stored_stages(request.stages),
        "input_schema": checked_schema(input_fields(request.input_schema)),
        "budget_limits": None if request.budget_limits is None else request.budget_limits.filled(),
        "version": 1,
    }
    check_runnable(body)
    body.update({name: getattr(request, name) for name in _KEPT})
    return body


def clone_request(source: JsonObject, request: CloneRetrieverRequest) -> CreateRetrieverRequest:
    """What creates a copy of ``source`` with what the request has otherwise."""
    given = request.given()
    copied = ["stages", "input_schema", "budget_limits", *_KEPT]
    if "collection_ids" not in given:
        copied.append("collection_identifiers")
    return CreateRetrieverRequest.model_validate({**{name: source.get(name) for name in copied}, **given})


def checked_schema(schema: JsonObject | None) -> JsonObject | None:
    """An input schema whose defaults fit their types. Raises 422."""
    try:
        check_schema(schema)
    except InputError as error:
        where = ("body", "input_schema", *error.problems[0][0].split("."))
        raise (conflict if _fits_but_for_enums(schema) else invalid)(str(error), *where) from error
    return schema


def _fits_but_for_enums(schema: JsonObject | None) -> bool:
    """Whether defaults have the types that they should: that they are among the values is for no schema to say."""
    try:
        check_schema(
            {
                name: {"type": field["type"], "default": field.get("default")}
                for name, field in (schema or {}).items()
            }
        )
    except InputError:
        return False
    return True


def grown(old: JsonObject | None, new: JsonObject) -> JsonObject:
    """A schema that ``old`` may become. Raises 422 for a change that would break a caller of ``old``."""
    for name, field in new.items():
        before = (old or {}).get(name)
        if before is None:
            if field["required"] and "default" not in field:
                raise invalid("a new input must be optional or have a default", "body", "input_schema", name)
        elif field["type"] != before["type"]:
            raise invalid(f"the type {before['type']!r} cannot change", "body", "input_schema", name, "type")
        elif field["required"] and not before["required"]:
            raise invalid("an optional input cannot become required", "body", "input_schema", name, "required")
        elif "enum" in field and not ("enum" in before and all(item in field["enum"] for item in before["enum"])):
            raise invalid("an enum can only gain values", "body", "input_schema", name, "enum")
    for name in old or {}:
        if name not in new:
            raise invalid("an input cannot be removed", "body", "input_schema", name, kind="missing")
    return new


def patched_body(
    body: JsonObject,
    request: PatchRetrieverRequest,
    collection_ids: Sequence[str] | None,
    stages: list[JsonObject] | None,
) -> JsonObject:
    """``body`` with what the request changes; its ``version`` rises when anything did. ``collection_ids`` and
    ``stages`` are the request's, resolved. Raises 422 for what could never run."""
    changed = dict(body)
    for name in request.model_fields_set & {"retriever_name", *_KEPT}:
        changed[name] = getattr(request, name)
    if collection_ids is not None:
        changed["collection_identifiers"] = list(collection_ids)
    if stages is not None:
        changed["stages"] = stages
    if request.input_schema is not None:
        changed["input_schema"] = checked_schema(
            grown(body["input_schema"], input_fields(request.input_schema) or {})
        )
    if any(changed[name] != body[name] for name in ("stages", "input_schema")):
        check_runnable(changed)
    if changed != body:
        changed["version"] = body["version"] + 1
    return changed


def response(stored: StoredDefinition) -> RetrieverResponse:
    """A retriever as it is shown."""
    body = stored.body
    stages = body["stages"]
    return RetrieverResponse(
        retriever_id=stored.record.id,
        retriever_name=body["retriever_name"],
        description=body.get("description"),
        collection_ids=body["collection_identifiers"],
        collection_identifiers=body["collection_identifiers"],
        stages=[
            StageOutput(
                stage_name=stage["stage_name"],
                stage_type=stage["stage_type"],
                config=stage["config"],
                batch_size=stage.get("batch_size"),
                description=stage.get("description"),
                on_error=stage["on_error"],
                output_alias=stage.get("output_alias"),
                parameters=stage["config"]["parameters"],
            )
            for stage in stages
        ],
        input_schema=body.get("input_schema"),
        budget_limits=body.get("budget_limits"),
        feature_dependencies=[
            address for uri in feature_uris(stages) if (address := feature_address(uri)) is not None
        ],
        fusion=fusion(stages),
        tags=body.get("tags") or [],
        metadata=body.get("metadata") or {},
        display_config=body.get("display_config"),
        visibility=body.get("visibility") or "private",
        requires_subscription=bool(body.get("requires_subscription")),
        marketplace_listing_id=body.get("marketplace_listing_id"),
        version=body["version"],
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )
