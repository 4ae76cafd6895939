"""What each stage of a retriever means for one arriving document (contract section 6, design section 4)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from streams.engines.retrieval.errors import FilterError, PlanError
from streams.engines.retrieval.filters.nodes import ALWAYS, Node
from streams.engines.retrieval.filters.parse import parse_filter
from streams.engines.retrieval.percolate.plan import ScoreTest, Search
from streams.engines.retrieval.vectors.searches import read_searches

_HOSTED: Final = "needs a hosted model or an outside service"
_OTHERS: Final = "depends on other documents of the collection"
_SHAPE: Final = "changes documents, which an alert on ingest does not"
_SINGLE: Final = ("AND", "OR", "NOT")

REFUSED: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("mmr", "group_by", "aggregate", "sample", "deduplicate", "cluster", "score_normalize"), _OTHERS
    ),
    **dict.fromkeys(("document_enrich", "taxonomy_enrich", "unwind", "json_transform"), _SHAPE),
    **dict.fromkeys(
        (
            *("rerank", "maxsim_rerank", "llm_filter", "llm_enrich", "summarize", "query_expand", "agent_search"),
            *("agentic_enrich", "rag_prepare", "api_call", "sql_lookup", "web_scrape", "external_web_search"),
            *("external_reverse_image", "code_execution", "cross_compare"),
        ),
        _HOSTED,
    ),
}


@dataclass(slots=True)
class Draft:
    """What the stages read so far ask for."""

    collection_id: str | None
    filters: list[Node] = field(default_factory=list)
    searches: list[Search] | None = None
    fusion: Literal["mean", "max"] = "mean"
    ranked: bool = False
    """Several searches are fused by rank, so their score means nothing for one document."""
    score_tests: list[ScoreTest] = field(default_factory=list)

    def add_filter(self, raw: Any, place: str, *, case_sensitive: bool = False) -> None:
        """Take a filter in; nothing is added for none. Raises :class:`PlanError`."""
        if raw is None:
            return
        try:
            parsed = parse_filter(raw, case_sensitive_default=case_sensitive, place=place)
        except FilterError as error:
            raise PlanError(str(error)) from error
        if parsed.root != ALWAYS:
            self.filters.append(parsed.root)


def read_stage(draft: Draft, stage: Mapping[str, Any]) -> None:
    """Take one stage into the draft, templates already filled. Raises :class:`PlanError`."""
    config = stage.get("config") if isinstance(stage.get("config"), Mapping) else stage
    assert config is not None
    stage_id = config.get("stage_id")
    place = f"stage {stage.get('stage_name') or stage_id!r}"
    parameters = config.get("parameters") or {}
    if stage_id in REFUSED:
        raise PlanError(f"{place}: {stage_id} {REFUSED[stage_id]}; it cannot run for an alert on ingest")
    reader = _READERS.get(stage_id) if isinstance(stage_id, str) else None
    if reader is None:
        raise PlanError(f"{place}: unknown stage_id {stage_id!r}; on ingest run {', '.join(_READERS)}")
    draft.add_filter(config.get("pre_filters"), f"{place}: pre_filters")
    reader(draft, parameters, place)
    draft.add_filter(config.get("post_filters"), f"{place}: post_filters")


def _attribute_filter(draft: Draft, parameters: Mapping[str, Any], place: str) -> None:
    if parameters.get("natural_language"):
        raise PlanError(f"{place}: natural_language {_HOSTED}; write conditions")
    case_sensitive = not parameters.get("case_insensitive", False)
    draft.add_filter(conditions_of(parameters, place), f"{place}: conditions", case_sensitive=case_sensitive)


def conditions_of(parameters: Mapping[str, Any], place: str) -> Any:
    """The filter of an ``attribute_filter``, whichever way it is written. Raises :class:`PlanError` when there
    is none, or more than one."""
    forms = [
        parameters.get("conditions"),
        {k: parameters[k] for k in ("field", "operator", "value") if k in parameters} or None,
        {k: parameters[k] for k in _SINGLE if parameters.get(k) is not None} or None,
    ]
    # The SDK sends the simple form's defaults beside conditions: only a field makes it one.
    if forms[1] is not None and (forms[1].get("field") is None and (forms[0] or forms[2])):
        forms[1] = None
    given = [form for form in forms if form is not None]
    if len(given) != 1:
        raise PlanError(f"{place}: give either conditions, or field, operator and value")
    return given[0]


def _feature_search(draft: Draft, parameters: Mapping[str, Any], place: str) -> None:
    if draft.searches is not None:
        raise PlanError(
            f"{place}: a second feature_search cannot run on one document; put its searches in the first"
        )
    if parameters.get("group_by"):
        raise PlanError(f"{place}: group_by {_OTHERS}")
    draft.searches = read_searches(parameters, place, draft.collection_id)
    fusion = parameters.get("fusion") or "rrf"
    if fusion not in ("rrf", "dbsf", "weighted", "max", "learned"):
        raise PlanError(f"{place}: fusion must be rrf, dbsf, weighted, max or learned")
    several = len(draft.searches) > 1
    if fusion == "learned" and several:
        raise PlanError(f"{place}: learned fusion {_HOSTED}")
    draft.ranked = several and fusion in ("rrf", "dbsf")
    draft.fusion = "max" if fusion == "max" else "mean"
    if draft.searches and sum(search.weight for search in draft.searches) <= 0:
        raise PlanError(f"{place}: at least one search needs a weight above 0")
    for raw in parameters.get("searches") or ():
        if raw.get("filters") and several:
            raise PlanError(f"{place}: filters of one search among several are not supported; use pre_filters")
        draft.add_filter(raw.get("filters") or None, f"{place}: filters")


def _limit(_: Draft, parameters: Mapping[str, Any], place: str) -> None:
    if parameters.get("offset"):
        raise PlanError(f"{place}: an offset skips the only document there is")


def _sort(_: Draft, __: Mapping[str, Any], ___: str) -> None:
    """One document is always in order."""


def _score_threshold(draft: Draft, parameters: Mapping[str, Any], place: str) -> None:
    value = parameters.get("threshold")
    if type(value) not in (int, float) or parameters.get("score_field", "score") != "score":
        raise PlanError(f"{place}: score_threshold needs a number as threshold, on the field score")
    assert value is not None
    draft.score_tests.append(ScoreTest("gte", float(value)))


_READERS: Final[dict[str, Callable[[Draft, Mapping[str, Any], str], None]]] = {
    "attribute_filter": _attribute_filter,
    "feature_search": _feature_search,
    "sort_relevance": _sort,
    "sort_attribute": _sort,
    "limit": _limit,
    "score_threshold": _score_threshold,
}
