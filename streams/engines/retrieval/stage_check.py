"""What is wrong with a stage wherever it runs, found before its inputs are known (contract sections 5 and 6).

That a stage cannot be decided from one arriving document is no fault of it: ``stages.py`` says so when an alert
is attached. What holds a template is checked as far as it is written out.
"""

from collections.abc import Mapping
from typing import Any

from streams.engines.retrieval.errors import FilterError, PlanError
from streams.engines.retrieval.filters.parse import Filter, parse_filter
from streams.engines.retrieval.percolate.stages import conditions_of
from streams.engines.retrieval.templates import holds_template, is_template
from streams.engines.retrieval.vectors.searches import fraction, listed, vector_query

_KNOWN = {"operator": "exists", "value": True}
"""Stands in a filter for what a template will ask."""


def check_stage(stage: Mapping[str, Any]) -> None:
    """Refuse a stage, in the stored form, that can never run. Raises :class:`PlanError` in words for the user,
    naming the stage."""
    config = stage["config"]
    parameters, stage_id = config["parameters"], config["stage_id"]
    place = f"stage {stage['stage_name']}"
    for key in ("pre_filters", "post_filters"):
        _check_filter(config.get(key), f"{place}: {key}")
    if stage_id == "attribute_filter" and not parameters.get("natural_language"):
        _check_filter(conditions_of(parameters, place), f"{place}: conditions")
    elif stage_id == "feature_search":
        _check_searches(config, parameters, place)


def _check_filter(raw: Any, place: str) -> Filter | None:
    if raw is None or is_template(raw):
        return None
    try:
        return parse_filter(_written(raw, place), place=place)
    except FilterError as error:
        raise PlanError(str(error)) from error


def _written(raw: Any, place: str) -> Any:
    """``raw`` with each condition that holds a template checked and replaced by one without."""
    if not holds_template(raw):
        return raw
    if is_template(raw):
        return {"field": "template", **_KNOWN}
    if isinstance(raw, list):
        return [_written(item, f"{place}[{index}]") for index, item in enumerate(raw)]
    raw = {key: value for key, value in raw.items() if key != "case_sensitive" or not holds_template(value)}
    if "field" in raw or "operator" in raw or "value" in raw:
        return _condition(raw, place)
    return {key: _entry(key, value, f"{place}.{key}") for key, value in raw.items()}


def _entry(key: str, value: Any, place: str) -> Any:
    if key in ("AND", "OR", "NOT"):
        return _written([value] if is_template(value) else value, place)
    if not holds_template(value):
        return value
    if isinstance(value, Mapping) and not is_template(value):
        for name, item in value.items():
            if name != "case_sensitive":
                _condition({"field": key, "operator": name, "value": item}, place)
    return {"exists": True}


def _condition(raw: Mapping[str, Any], place: str) -> dict[str, Any]:
    if holds_template(raw.get("field")):
        raw = {**raw, "field": "template"}
    if holds_template(raw.get("operator")):
        raw = {**raw, "operator": "exists", "value": True}
    try:
        parse_filter(raw, place=place)
    except FilterError as error:
        # A value that comes with the inputs cannot be judged yet.
        if error.place != f"{place}.value" or not holds_template(raw.get("value")):
            raise
    return {"field": raw["field"], **_KNOWN}


def _check_searches(config: Mapping[str, Any], parameters: Mapping[str, Any], place: str) -> None:
    if is_template(parameters.get("searches")):
        return
    searches = listed(parameters, place)
    if not searches and not parameters.get("feature_uris"):
        scanned = config.get("pre_filters")
        found = _check_filter(scanned, f"{place}: pre_filters")
        if scanned is None or (found is not None and found.trivial):
            raise PlanError(f"{place}: searches are empty; give one, or pre_filters to scan by")
    for index, raw in enumerate(searches):
        if not is_template(raw):
            _check_search(raw, f"{place}, search {index + 1}")


def _check_search(raw: Any, place: str) -> None:
    if not isinstance(raw, Mapping):
        raise PlanError(f"{place}: a search is an object with feature_uri and query")
    uri = raw.get("feature_uri")
    if type(uri) is not str or not uri:
        raise PlanError(f"{place}: feature_uri is required")
    for name in ("min_score", "weight"):
        value = raw.get(name)
        if value is not None and not holds_template(value):
            fraction(value, name, place)
    _check_filter(raw.get("filters"), f"{place}: filters")
    query = raw.get("query")
    if not isinstance(query, (str, list, Mapping)):
        raise PlanError(f"{place}: query is required: {{input_mode, value}}")
    if isinstance(query, Mapping) and query.get("input_mode", "vector") != "vector":
        return
    vector = query.get("value") if isinstance(query, Mapping) else query
    if holds_template(query) or holds_template(uri) or not isinstance(vector, list):
        return
    several = bool(vector) and isinstance(vector[0], list)
    for one in vector if several else [vector]:
        vector_query(one, uri, place)
