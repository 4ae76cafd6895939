"""Every stage there is, and those of the contract that this server has not (contract section 6)."""

from typing import Any, Final

from streams.engines.retrieval.stages import (
    aggregate,
    attribute_filter,
    cluster,
    deduplicate,
    document_enrich,
    feature_search,
    group_by,
    json_transform,
    limit,
    mmr,
    sample,
    score_normalize,
    score_threshold,
    sort_attribute,
    sort_relevance,
    taxonomy_enrich,
    unwind,
)
from streams.engines.retrieval.stages.stage import Stage

STAGES: Final[dict[str, Stage[Any]]] = {
    module.STAGE.stage_id: module.STAGE
    for module in (
        feature_search,
        attribute_filter,
        sort_relevance,
        sort_attribute,
        mmr,
        score_normalize,
        limit,
        sample,
        deduplicate,
        group_by,
        aggregate,
        score_threshold,
        cluster,
        unwind,
        json_transform,
        document_enrich,
        taxonomy_enrich,
    )
}

_NOT_HERE: Final = "which this server does not have"
_MODEL: Final = f"needs a hosted language model, {_NOT_HERE}"
_SCORES: Final = f"needs a hosted model that scores documents, {_NOT_HERE}"
_UNPUBLISHED: Final = "does what no published document says, so this server does not have it"


def _outside(what: str) -> str:
    return f"needs {what} outside, {_NOT_HERE}"


UNAVAILABLE: Final[dict[str, str]] = {
    "rerank": _SCORES,
    "maxsim_rerank": _SCORES,
    "llm_filter": _MODEL,
    "llm_enrich": _MODEL,
    "summarize": _MODEL,
    "query_expand": _MODEL,
    "agent_search": _MODEL,
    "agentic_enrich": _MODEL,
    "rag_prepare": _MODEL,
    "api_call": _outside("a service"),
    "sql_lookup": _outside("a database"),
    "web_scrape": _outside("the web"),
    "external_web_search": _outside("a web search"),
    "external_reverse_image": _outside("an image search"),
    "code_execution": _outside("a place to run code"),
    "cross_compare": _SCORES,
    "moment_group": _UNPUBLISHED,
    "temporal": _UNPUBLISHED,
}
"""Stages of the contract that cannot run here → why."""


def unavailable(stage_id: str) -> str | None:
    """Why a stage of the contract cannot run here, naming it; ``None`` for one that can, or is unknown."""
    reason = UNAVAILABLE.get(stage_id)
    return None if reason is None else f"{stage_id} {reason}"
