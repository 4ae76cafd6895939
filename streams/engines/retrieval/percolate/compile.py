"""A retriever and its alert as a percolation plan, or the reason why they cannot be one (design section 4)."""

from collections.abc import Mapping
from typing import Any

from streams.engines.retrieval.errors import FilterError, PlanError, StageError
from streams.engines.retrieval.execution.filter_check import read_filter
from streams.engines.retrieval.execution.prepare import PreparedStage, prepare
from streams.engines.retrieval.execution.windowed import asked_of_each, has_window
from streams.engines.retrieval.filters.nodes import all_of, conditions
from streams.engines.retrieval.percolate.constants import BY_ROW, constant_inputs, renderer
from streams.engines.retrieval.percolate.draft import Draft
from streams.engines.retrieval.percolate.plan import COMPARISONS, NO_INPUTS, Plan, ScoreTest


def compile_plan(
    retriever: Mapping[str, Any],
    alert: Mapping[str, Any],
    application: Mapping[str, Any] | None = None,
    *,
    collection_id: str | None = None,
) -> Plan:
    """The plan of an alert attached on ingest.

    ``retriever`` and ``alert`` are definition bodies, ``application`` the collection's entry for the alert
    (contract 4.3), ``collection_id`` where documents arrive. Raises :class:`PlanError` with words for the user
    for whatever cannot be decided from one document and constants. The plan of an alert with a window says which
    documents count.
    """
    windowed = has_window(alert)
    retriever, alert = asked_of_each(retriever, alert)
    _check_alert(alert)
    inputs = constant_inputs(retriever, alert, application)
    collections = retriever.get("collection_identifiers")
    if collection_id is not None and collections and collection_id not in collections:
        raise PlanError(f"the retriever searches {', '.join(map(str, collections))}, not {collection_id}")
    draft = Draft(collection_id, renderer(inputs))
    prepared = prepare(retriever)
    tail = _read_stages(draft, prepared.stages)
    if tail and windowed:
        raise PlanError(
            f"{tail[0].place}: {tail[0].stage.stage_id} runs once a document has matched, and what it makes of it"
            " cannot be counted over a window; leave it out"
        )
    _check_fields(draft)
    _threshold(draft, alert.get("threshold"), bool(tail))
    searches = tuple(draft.searches or ())
    if draft.score_tests and draft.ranked:
        raise PlanError("a threshold on score needs fusion weighted or max: a rank means nothing for one document")
    predicate = all_of(draft.filters)
    tests = tuple(draft.score_tests)
    plan = Plan(
        predicate,
        searches,
        draft.fusion,
        tests,
        tail,
        inputs if tail else NO_INPUTS,
        prepared.max_time_ms,
        prepared.max_credits,
    )
    if not draft.filters and plan.bounds is None:
        more = " that can be told before its templates are filled" if tail else ""
        raise PlanError(
            f"the retriever lets every document through: give it a filter{more}, or a min_score for every search"
        )
    return plan


def _read_stages(draft: Draft, stages: tuple[PreparedStage, ...]) -> tuple[PreparedStage, ...]:
    """Take stages into the draft; those from the first that must run on the row are given back."""
    tail: list[PreparedStage] = []
    aliases: set[str] = set()
    names: set[str] = set()
    for stage in stages:
        refused = stage.stage.percolate
        if isinstance(refused, str):
            raise PlanError(
                f"{stage.place}: {stage.stage.stage_id} {refused}; it cannot run for an alert on ingest"
            )
        for reference in stage.references:
            known = {"CONTEXT": aliases, "STAGE": names}.get(reference.namespace)
            if known is not None and reference.key not in known:
                raise PlanError(
                    f"{stage.place}: {reference.namespace}.{reference.key} cannot be known when a document arrives"
                )
        if any(reference.namespace in BY_ROW for reference in stage.references):
            draft.to_tail()
        if draft.tailed:
            # On a draft of its own it may still refuse, but adds nothing.
            _take(Draft(draft.collection_id, lambda value: value, tailed=True), stage, row_known=True)
        else:
            _take(draft, stage)
        if draft.tailed:
            tail.append(stage)
            names.add(stage.name)
            if stage.output_alias:
                aliases.add(stage.output_alias)
    return tuple(tail)


def _take(draft: Draft, stage: PreparedStage, *, row_known: bool = False) -> None:
    read = stage.stage.percolate
    assert not isinstance(read, str)
    if row_known:
        if stage.ready is not None:
            read(draft, stage.ready, stage.place)
        return
    draft.add_filter(stage.pre_filters, f"{stage.place}: pre_filters")
    try:
        parameters = stage.parameters(draft.render)
    except StageError as error:
        raise PlanError(str(error)) from error
    read(draft, parameters, stage.place)
    if not draft.tailed:
        draft.add_filter(stage.post_filters, f"{stage.place}: post_filters")


def _check_alert(alert: Mapping[str, Any]) -> None:
    if alert.get("source") == "system":
        raise PlanError("a system alert watches the system, not arriving documents")
    if alert.get("trigger_on") == "no_results":
        raise PlanError(
            "trigger_on no_results cannot be told from one arriving document; give the alert window_seconds, or "
            "map an input from the document, so that it is looked up in the retriever's collections"
        )
    if (alert.get("min_count") or 1) > 1:
        raise PlanError(
            f"min_count {alert['min_count']} needs other documents, and on ingest each document is checked alone; "
            "give the alert window_seconds, or map an input from the document, so that it is looked up in the "
            "retriever's collections"
        )


def _check_fields(draft: Draft) -> None:
    for node in draft.filters:
        for condition in conditions(node):
            text = condition.path.text
            if text == "_internal" or text.startswith("_internal."):
                raise PlanError(f"a filter on {text} cannot be checked when a document arrives: it is set later")
            if text == "score" and draft.searches:
                raise PlanError(
                    "a filter on score cannot follow a search; use min_score, or the alert's threshold"
                )


def _threshold(draft: Draft, raw: Any, tailed: bool) -> None:
    """The alert's threshold on the first result, which on ingest is the document (contract 4.2). On a field of
    rows that a tail makes, it is decided when they are made."""
    if raw is None:
        return
    field, name, value = raw.get("field"), raw.get("operator"), raw.get("value")
    if type(field) is not str or name not in COMPARISONS:
        raise PlanError(f"threshold needs field, and an operator of {', '.join(COMPARISONS)}")
    if field == "score" and draft.searches:
        if type(value) not in (int, float):
            raise PlanError("threshold on score needs a number")
        draft.score_tests.append(ScoreTest(name, float(value)))
        return
    if tailed:
        return
    here: dict[str, Any] = {"field": field, "operator": name, "value": value}
    present = {"field": field, "operator": "exists", "value": True}
    rule: dict[str, Any] = {"AND": [present, here]}
    if "." not in field:
        inner = f"metadata.{field}"
        below = [{**present, "field": inner}, {**here, "field": inner}]
        rule = {"OR": [rule, {"AND": [{"NOT": [present]}, *below]}]}
    try:
        draft.add_filter(read_filter(rule, "threshold"), "threshold")
    except FilterError as error:
        raise PlanError(str(error)) from error
