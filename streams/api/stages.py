"""Retriever stages of a request: what this server refuses, and what it reads out of them (contract 6). Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from schemas.api.base import JsonObject
from schemas.api.retriever import Stage
from schemas.api.stages import CATEGORIES, normalised
from streams.engines.retrieval.errors import ContradictionError, PlanError, RefusedError
from streams.engines.retrieval.execution.definition_check import check_definition, check_hosted
from streams.engines.retrieval.execution.prepare import PreparedStage, check_references, prepare_stage
from streams.engines.retrieval.templates.filling import holds_template
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.engines.retrieval.vectors.features import resolve_feature
from streams.runtime.http.errors import ApiError, conflict, invalid, refused


def stored_stages(stages: Sequence[Stage]) -> list[JsonObject]:
    """Stages as they are stored. Raises 422 for a stage that needs what this server has not (``NotEnabledError``),
    an unknown stage, a name used twice, or parameters, filters, searches and templates that can never run."""
    try:
        for index, stage in enumerate(stages):
            check_hosted(dict(stage), ("stages", index))
    except RefusedError as error:
        raise _refused(error) from error
    try:
        result = normalised(stages)
    except ValidationError as error:
        raise refused(error, "body") from error
    prepared: list[PreparedStage] = []
    for index, entry in enumerate(result):
        try:
            prepared.append(prepare_stage(entry))
            check_references(prepared)
        except PlanError as error:
            told = conflict if isinstance(error, ContradictionError) else invalid
            raise told(str(error), "body", "stages", index, "config") from error
    return result


def check_runnable(retriever: JsonObject) -> None:
    """Refuse (422) a retriever body, its stages as stored, that could never run: see
    :func:`~streams.engines.retrieval.execution.definition_check.check_definition`."""
    try:
        check_definition(retriever)
    except RefusedError as error:
        raise _refused(error) from error


def check_features(retriever: JsonObject, indexes: Mapping[str, Collection[str]]) -> None:
    """Refuse (422) a search of a feature that no collection it searches can have. ``indexes``: collection id → the
    feature URIs it declares; one that declares none may have any."""
    for index, stage in enumerate(retriever["stages"]):
        if stage["config"]["stage_id"] != "feature_search":
            continue
        parameters = stage["config"]["parameters"]
        searches = parameters.get("searches")
        for at, search in enumerate(searches if isinstance(searches, list) else ()):
            if not isinstance(search, dict):
                continue
            uri = search["feature_uri"]
            named = search.get("collection_identifiers") or parameters.get("collection_identifiers")
            searched = named or retriever["collection_identifiers"]
            plain = isinstance(searched, list) and not holds_template(searched)
            declared = [indexes.get(one) for one in searched] if plain else []
            if holds_template(uri) or uri == HashingEmbedder.URI or not declared or not all(declared):
                continue
            known = sorted({name for names in declared for name in names or ()})
            if not any(resolve_feature(uri, (name,)) for name in known):
                raise invalid(
                    f"stage {stage['stage_name']}: searches[{at}]: its collections have no feature {uri!r};"
                    f" there are {', '.join((*known, HashingEmbedder.URI))}",
                    *("body", "stages", index, "config", "parameters", "searches", at, "feature_uri"),
                )


def _refused(error: RefusedError) -> ApiError:
    if error.contradicts:
        return conflict(str(error), "body", *error.where)
    if not error.hosted:
        return invalid(str(error), "body", *error.where)
    refusal = invalid(f"{error}. Available: {', '.join(CATEGORIES)}", "body", *error.where, kind="not_enabled")
    return ApiError(422, refusal.message, details=refusal.details, type="NotEnabledError")


def _searches(stages: Sequence[JsonObject]) -> list[JsonObject]:
    return [stage["config"]["parameters"] for stage in stages if stage["config"]["stage_id"] == "feature_search"]


def fusion(stages: Sequence[JsonObject]) -> str | None:
    """How the feature search fuses its lists; ``None`` without a feature search."""
    for parameters in _searches(stages):
        chosen = parameters.get("fusion")
        return chosen if isinstance(chosen, str) else "rrf"
    return None


def feature_uris(stages: Sequence[JsonObject]) -> list[str]:
    """The features that the stages search, each once, in order."""
    found: dict[str, None] = {}
    for parameters in _searches(stages):
        searches: Any = parameters.get("searches") or ()
        for search in searches if isinstance(searches, list) else ():
            uri = search.get("feature_uri") if isinstance(search, dict) else None
            if isinstance(uri, str):
                found[uri] = None
    return list(found)


def feature_address(uri: str) -> JsonObject | None:
    """``mixpeek://{extractor}@{version}/{output}`` taken apart; ``None`` for a bare vector name."""
    scheme, colon, rest = uri.partition("://")
    address, _, output = rest.partition("/")
    extractor, at, version = address.partition("@")
    if not colon or not at or not extractor or not version:
        return None
    return {"scheme": scheme, "extractor": extractor, "version": version, "output": output or None}
