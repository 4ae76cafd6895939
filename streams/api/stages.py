"""Retriever stages of a request: what this server refuses, and what it reads out of them (contract 6). Pure."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from schemas.api.base import JsonObject, first_problem
from schemas.api.retriever import Stage
from schemas.api.stages import CATEGORIES, normalised
from streams.api.names import not_enabled
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.stages.prepare import PreparedStage, check_references, prepare_stage
from streams.engines.retrieval.stages.registry import unavailable
from streams.runtime.http.errors import invalid


def stored_stages(stages: Sequence[Stage]) -> list[JsonObject]:
    """Stages as they are stored. Raises 403 for a stage that needs what this server has not, 422 for an unknown
    stage, a name used twice, or parameters, filters, searches and templates that can never run."""
    for stage in stages:
        stage_id = stage.stage_id if stage.config is None else stage.config["stage_id"]
        if (reason := unavailable(str(stage_id))) is not None:
            raise not_enabled(f"Stage {stage_id!r} ({reason})", ", ".join(CATEGORIES))
    try:
        result = normalised(stages)
    except ValidationError as error:
        where, message = first_problem(error)
        raise invalid(message, "body", *where) from error
    prepared: list[PreparedStage] = []
    for index, entry in enumerate(result):
        try:
            prepared.append(prepare_stage(entry))
            check_references(prepared)
        except PlanError as error:
            raise invalid(str(error), "body", "stages", index, "config") from error
    return result


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
