"""Filters inside parameters, checked as far as they are written out: what a template asks is known later."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from streams.engines.retrieval.errors import FilterError
from streams.engines.retrieval.filters.parse import Filter, parse_filter
from streams.engines.retrieval.templates.filling import (
    holds_template,
    is_template,
    references,
    surely_plain,
)

BAD_FILTER: Final = "bad_filter"
"""The type of the validation error of :data:`FilterTree`."""
_NEVER: Final = {"field": "document_id", "operator": "in", "value": []}
BAD_FORM: Final = "bad_form"
"""The type of a validation error that no value of a template can heal."""
_KNOWN: Final = {"operator": "exists", "value": True}
"""Stands in a filter for what a template will ask."""


@dataclass(frozen=True, slots=True)
class WrittenFilter:
    """A filter as it is written."""

    raw: Any
    parsed: Filter | None
    """What it means; ``None`` while it holds templates."""
    by_row: bool = False
    """A template in it is of the document."""


def read_filter(raw: Any, place: str, *, case_sensitive: bool = False) -> WrittenFilter:
    """Parse a filter, as far as it is written out. Raises :class:`FilterError` naming the place for one that no
    inputs can make right."""
    if surely_plain(raw) or not holds_template(raw):
        return WrittenFilter(raw, parse_filter(raw, case_sensitive_default=case_sensitive, place=place))
    if not is_template(raw):
        parse_filter(_written(raw, place), place=place)
    return WrittenFilter(raw, None, _of_document(raw))


def filled_for_row(raw: Any, render: Callable[[Any], Any], place: str) -> Any:
    """A filter with its templates filled for one row. A condition that a value of the document makes unreadable
    (a comparison with nothing, a text that is no pattern) becomes one that is never true."""
    if not _of_document(raw):
        return render(raw)
    if isinstance(raw, list):
        return [filled_for_row(item, render, f"{place}[{index}]") for index, item in enumerate(raw)]
    if is_template(raw) or "field" in raw or "operator" in raw or "value" in raw:
        return _readable(render(raw), place)
    filled: dict[str, Any] = {}
    beside: list[Any] = []
    for key, value in raw.items():
        if key in ("AND", "OR", "NOT"):
            # What stands here is a list, or for NOT one condition.
            inner = filled_for_row(value, render, f"{place}.{key}")
            filled[key] = [inner] if is_template(value) and isinstance(inner, Mapping) else inner
        elif _of_document(value):
            beside.append(_readable({key: render(value)}, f"{place}.{key}"))
        else:
            filled[key] = render(value)
    return {**filled, "AND": [*(filled.get("AND") or ()), *beside]} if beside else filled


def _readable(filled: Any, place: str) -> Any:
    """A filled condition, or one that is never true."""
    if isinstance(filled, list):
        return [_readable(item, place) for item in filled]
    try:
        parse_filter(filled, place=place)
    except FilterError:
        return _NEVER
    return filled


def _of_document(raw: Any) -> bool:
    return any(reference.namespace == "DOC" for reference in references(raw))


def _checked(raw: Any) -> Any:
    try:
        if raw is not None:
            read_filter(raw, "filter")
    except FilterError as error:
        inner = error.place.removeprefix("filter")
        raise PydanticCustomError(
            BAD_FILTER, "{at}: {problem}", {"at": inner, "problem": error.problem}
        ) from error
    return raw


FilterTree = Annotated[Any, AfterValidator(_checked)]
"""A filter as it is written, checked; templates may stand in it."""


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
