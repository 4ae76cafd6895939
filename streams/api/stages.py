"""Retriever stages: both spellings in, one out (contract 4.5, 6). Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from schemas.api.base import JsonObject
from schemas.api.retriever import Stage
from streams.api.names import not_enabled
from streams.engines.retrieval.errors import FilterError
from streams.engines.retrieval.filters import parse_filter
from streams.runtime.http.errors import invalid

CATEGORIES: Final[Mapping[str, str]] = {
    "feature_search": "filter",
    "attribute_filter": "filter",
    "sort_relevance": "sort",
    "sort_attribute": "sort",
    "mmr": "sort",
    "score_normalize": "sort",
    "limit": "reduce",
    "sample": "reduce",
    "deduplicate": "reduce",
    "group_by": "reduce",
    "aggregate": "reduce",
    "score_threshold": "reduce",
    "cluster": "reduce",
    "unwind": "apply",
    "json_transform": "apply",
    "document_enrich": "enrich",
    "taxonomy_enrich": "enrich",
}
"""The stages that need no model and no outside service, with their category."""

UNAVAILABLE: Final = frozenset(
    (
        "rerank",
        "maxsim_rerank",
        "llm_filter",
        "llm_enrich",
        "summarize",
        "query_expand",
        "agent_search",
        "agentic_enrich",
        "rag_prepare",
        "api_call",
        "sql_lookup",
        "web_scrape",
        "external_web_search",
        "external_reverse_image",
        "code_execution",
        "cross_compare",
        "moment_group",
        "temporal",
    )
)
"""Stages of the contract that need a model or an outside service."""


def normalised(stages: Sequence[Stage]) -> list[JsonObject]:
    """Stages as they are stored: ``stage_name``, ``stage_type``, ``config`` {``stage_id``, ``parameters``, …}.

    The flat form is folded into ``config``; a missing name is the stage's id, made unique. Raises 422 for an
    unknown stage or a name used twice, 403 for a stage that needs what this server has not.
    """
    result: list[JsonObject] = []
    names: set[str] = set()
    for index, stage in enumerate(stages):
        config: JsonObject = dict(stage.config) if stage.config is not None else {"stage_id": stage.stage_id}
        stage_id = config["stage_id"]
        if stage_id in UNAVAILABLE:
            raise not_enabled(f"Stage {stage_id!r}", ", ".join(CATEGORIES))
        where = ("body", "stages", index, "config", "stage_id")
        if stage_id not in CATEGORIES:
            raise invalid(f"Unknown stage {stage_id!r}. Known: {', '.join(CATEGORIES)}", *where)
        for name, value in (("pre_filters", stage.pre_filters), ("post_filters", stage.post_filters)):
            if value is not None:
                config.setdefault(name, value)
        if stage.config is None:
            config["parameters"] = stage.parameters or {}
        parameters = config.setdefault("parameters", {})
        if not isinstance(parameters, dict):
            raise invalid("parameters must be an object", "body", "stages", index, "config", "parameters")
        _check_filters(config, index)
        name = stage.stage_name or _free(stage_id, names)
        if name in names:
            raise invalid(f"stage_name {name!r} is used twice", "body", "stages", index, "stage_name")
        names.add(name)
        entry: JsonObject = {
            "stage_name": name,
            "stage_type": CATEGORIES[stage_id],
            "config": config,
            "on_error": stage.on_error,
        }
        for key in ("batch_size", "description", "output_alias"):
            if getattr(stage, key) is not None:
                entry[key] = getattr(stage, key)
        result.append(entry)
    return result


def _check_filters(config: JsonObject, index: int) -> None:
    """Refuse (422) a filter that cannot be read. One with templates is read when its inputs are known."""
    parameters = config["parameters"]
    filters: list[tuple[JsonObject, str, tuple[str, ...]]] = [
        (config, "pre_filters", ("config",)),
        (config, "post_filters", ("config",)),
    ]
    if config["stage_id"] == "attribute_filter":
        filters.append((parameters, "conditions", ("config", "parameters")))
    for holder, key, path in filters:
        raw = holder.get(key)
        if raw is None or "{{" in json.dumps(raw):
            continue
        try:
            parse_filter(raw, place=key)
        except FilterError as error:
            raise invalid(str(error), "body", "stages", index, *path, key) from error


def _free(stage_id: str, names: Iterable[str]) -> str:
    used, number, name = set(names), 2, stage_id
    while name in used:
        name, number = f"{stage_id}_{number}", number + 1
    return name


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
