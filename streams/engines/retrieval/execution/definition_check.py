"""What of a retriever can be told wrong when it is defined, beyond the form of its parameters: what would fail
whenever it runs (contract section 6)."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from streams.engines.retrieval.errors import PlanError, RefusedError, StageError
from streams.engines.retrieval.execution.execute import MAX_NESTED
from streams.engines.retrieval.execution.inputs import fields_of
from streams.engines.retrieval.execution.prepare import prepare, prepare_stage
from streams.engines.retrieval.execution.query_check import check_query
from streams.engines.retrieval.stages.json_transform import remade
from streams.engines.retrieval.stages.parameters import PLACEHOLDERS
from streams.engines.retrieval.stages.registry import unavailable
from streams.engines.retrieval.stages.search_parameters import from_guide
from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.templates.compiled import compiled
from streams.engines.retrieval.templates.filling import Names, fill, holds_template, placed

_INNER: Final = "retriever_config"
_NOTHING: Final = Names({}, None, {}, {}, datetime(1970, 1, 1, tzinfo=UTC))
"""What constant templates are filled with."""
Where = tuple[str | int, ...]


def check_hosted(stage: Mapping[str, Any], where: Where) -> None:
    """Raises :class:`RefusedError` for a stage, as it may be sent, that needs a model or a service outside."""
    config, where = _config(stage, where)
    stage_id, parameters = config.get("stage_id"), config.get("parameters")
    if isinstance(stage_id, str) and (reason := unavailable(stage_id)) is not None:
        raise RefusedError(f"stage {_name(stage, config)}: {reason}", (*where, "stage_id"), hosted=True)
    if not isinstance(parameters, Mapping) or stage_id not in ("feature_search", "attribute_filter"):
        return
    for at, held in _asking(parameters):
        for key in ("query_preprocessing", "natural_language"):
            if held.get(key) not in (None, "null"):
                raise RefusedError(
                    f"stage {_name(stage, config)}: {key} needs a hosted model, which this server does not have",
                    (*where, "parameters", *at, key),
                    hosted=True,
                )
    searches = parameters.get("searches") or parameters.get("feature_uris")
    if parameters.get("fusion") == "learned" and isinstance(searches, list) and len(searches) > 1:
        raise RefusedError(
            f"stage {_name(stage, config)}: learned fusion needs a hosted model, which this server does not have;"
            " use rrf, dbsf, weighted or max",
            (*where, "parameters", "fusion"),
            hosted=True,
        )


def check_definition(retriever: Mapping[str, Any], where: Where = (), depth: int = 0) -> None:
    """Raises :class:`RefusedError` for a retriever body whose stages are read already: queries and constant
    templates that always fail, templates of inputs that its schema has not, inner retrievers that cannot run."""
    # Without a schema, or with one that declares nothing, inputs are free.
    declared = frozenset(fields_of(retriever.get("input_schema") or {})) or None
    for index, stage in enumerate(retriever.get("stages") or ()):
        config, at = _config(stage, (*where, "stages", index))
        _check_stage(stage, config, declared, at)
        inner = _parameters(config).get(_INNER)
        if isinstance(inner, Mapping):
            _check_inner(inner, f"stage {_name(stage, config)}", (*at, "parameters", _INNER), depth + 1)


def _check_inner(inner: Mapping[str, Any], place: str, where: Where, depth: int) -> None:
    if depth > MAX_NESTED:
        raise RefusedError(f"{place}: retrievers are nested more than {MAX_NESTED} deep", where)
    stages = inner.get("stages")
    try:
        for index, stage in enumerate(stages if isinstance(stages, list) else ()):
            if isinstance(stage, Mapping):
                check_hosted(stage, (*where, "stages", index))
        prepare(inner)
        check_definition(inner, where, depth)
    except RefusedError as error:
        raise RefusedError(
            f"{place}: its retriever: {error}", error.where, hosted=error.hosted, contradicts=error.contradicts
        ) from error
    except PlanError as error:
        raise RefusedError(f"{place}: its retriever: {error}", (*where, "stages")) from error


def _check_stage(
    stage: Mapping[str, Any], config: Mapping[str, Any], declared: frozenset[str] | None, where: Where
) -> None:
    place = f"stage {_name(stage, config)}"
    written = {
        "parameters": {key: value for key, value in _parameters(config).items() if key != _INNER},
        **{key: config[key] for key in ("pre_filters", "post_filters") if key in config},
    }
    waits = False
    for at, text in placed(written):
        shown = f"{place}: {_shown(at[1:] if at[0] == 'parameters' else at)}"
        references = compiled(text).references
        waits = waits or bool(references)
        for reference in references:
            if declared is not None and reference.namespace == "INPUT" and reference.key not in (None, *declared):
                there = ", ".join(sorted(declared))
                raise RefusedError(
                    f"{shown}: INPUT.{reference.key} is not in the input_schema; there are {there}",
                    (*where, *at),
                    contradicts=True,
                )
        if not references:
            try:
                fill(text, _NOTHING, shown)
            except StageError as error:
                raise RefusedError(str(error), (*where, *at)) from error
    if not waits and holds_template(written["parameters"]):
        try:
            prepare_stage(stage).parameters(_constant)
        except StageError as error:
            raise RefusedError(str(error), (*where, "parameters")) from error
    filled = _constant(written["parameters"])
    if config.get("stage_id") == "feature_search":
        for at, search, query in _searches(filled):
            check_query(search, f"{place}: {_shown(at)}", (*where, "parameters", *at, query))
    if config.get("stage_id") == "json_transform":
        _check_object(written["parameters"].get("template"), place, (*where, "parameters", "template"))


def _check_object(template: Any, place: str, where: Where) -> None:
    """Refuse a template that cannot render to a JSON object."""
    if not isinstance(template, str):
        return
    bare = template.strip()
    problem = None
    if not bare.startswith("{") or not bare.endswith("}"):
        problem = "it renders to a text that is not { … }"
    elif not holds_template(template) or not compiled(template).references:
        try:
            remade(Row("", "", {}, None), _constant(template))
        except ValueError as error:
            problem = str(error)
    if problem is not None:
        raise RefusedError(f"{place}: template: the template cannot make a JSON object: {problem}", where)


def _constant(value: Any) -> Any:
    """``value`` with the templates that take nothing filled; others stay."""
    if isinstance(value, str):
        return fill(value, _NOTHING, "") if holds_template(value) and not compiled(value).references else value
    if isinstance(value, Mapping):
        return {key: _constant(item) for key, item in value.items()}
    if isinstance(value, list) and holds_template(value):
        return [_constant(item) for item in value]
    return value


def _searches(parameters: Mapping[str, Any]) -> Iterator[tuple[Where, Mapping[str, Any], str]]:
    """Where each search is, the search, and the key of its query."""
    for key, query in (("searches", "query"), ("feature_uris", "input")):
        listed = parameters.get(key)
        for index, one in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(one, Mapping):
                yield (key, index), one if key == "searches" else from_guide(one), query


def _asking(parameters: Mapping[str, Any]) -> Iterator[tuple[Where, Mapping[str, Any]]]:
    yield (), parameters
    for at, search, _ in _searches(parameters):
        yield at, search


def _config(stage: Mapping[str, Any], where: Where) -> tuple[Mapping[str, Any], Where]:
    config = stage.get("config")
    return (config, (*where, "config")) if isinstance(config, Mapping) else (stage, where)


def _parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    found = config.get("parameters") or {}
    return {key: value for key, value in found.items() if not (isinstance(value, str) and value in PLACEHOLDERS)}


def _name(stage: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    return str(stage.get("stage_name") or config.get("stage_id"))


def _shown(where: Where) -> str:
    text = ""
    for step in where:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
