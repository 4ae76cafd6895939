"""Retriever stages: both spellings in, one out (contract 4.5, 6). Client and server use the same rules."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from schemas.api.base import CONFLICT, JsonObject, problem
from schemas.api.retriever import Stage

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

    The flat form is folded into ``config``; a missing name is the stage's id, made unique. Raises
    ``ValidationError`` for an unknown stage or a name used twice. One that is :data:`UNAVAILABLE` has no
    category here: whether it can run is for the server to say.
    """
    result: list[JsonObject] = []
    names: set[str] = set()
    for index, stage in enumerate(stages):
        config: JsonObject = dict(stage.config) if stage.config is not None else {"stage_id": stage.stage_id}
        stage_id = config["stage_id"]
        if stage_id not in CATEGORIES and stage_id not in UNAVAILABLE:
            where = ("stages", index, "config", "stage_id")
            raise problem(f"Unknown stage {stage_id!r}. Known: {', '.join(CATEGORIES)}", *where)
        for name, value in (("pre_filters", stage.pre_filters), ("post_filters", stage.post_filters)):
            if value is not None:
                config.setdefault(name, value)
        if stage.config is None:
            config["parameters"] = stage.parameters or {}
        if not isinstance(config.setdefault("parameters", {}), dict):
            raise problem("parameters must be an object", "stages", index, "config", "parameters")
        name = stage.stage_name or _free(stage_id, names)
        if name in names:
            raise problem(f"stage_name {name!r} is used twice", "stages", index, "stage_name", kind=CONFLICT)
        names.add(name)
        entry: JsonObject = {
            "stage_name": name,
            "stage_type": CATEGORIES.get(stage_id),
            "config": config,
            "on_error": stage.on_error,
        }
        for key in ("batch_size", "description", "output_alias"):
            if getattr(stage, key) is not None:
                entry[key] = getattr(stage, key)
        result.append(entry)
    return result


def _free(stage_id: str, names: Iterable[str]) -> str:
    used, number, name = set(names), 2, stage_id
    while name in used:
        name, number = f"{stage_id}_{number}", number + 1
    return name
