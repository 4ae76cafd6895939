"""Inputs of an execution against the retriever's ``input_schema`` (contract 4.5)."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from streams.engines.retrieval.errors import InputError
from streams.engines.retrieval.filters.values import fold, instant
from streams.engines.retrieval.templates.filling import holds_template

MAX_DEPTH: Final = 10
"""Levels of ``items`` and ``properties`` that are looked at."""
_MEDIA: Final = ("image", "audio", "video", "pdf", "excel")


def fields_of(schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The flat map of inputs, also from the wrapped form ``{"properties": {…}}``."""
    if schema is None:
        return {}
    inner = schema.get("properties")
    if isinstance(inner, Mapping) and "type" not in inner:
        required = schema.get("required")
        names = required if isinstance(required, list) else []
        return {
            name: {**item, "required": item.get("required", name in names)} if isinstance(item, Mapping) else item
            for name, item in inner.items()
        }
    return schema


def bind(schema: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs with defaults filled in. A null counts as not given, inputs the schema does not have are passed
    on. Raises :class:`InputError` naming every input that is missing or of the wrong type."""
    bound = dict(given)
    problems: list[tuple[str, str]] = []
    for name, declared in fields_of(schema).items():
        if not isinstance(declared, Mapping):
            continue
        if bound.get(name) is None:
            if declared.get("default") is not None:
                bound[name] = declared["default"]
            elif declared.get("required"):
                problems.append((name, "it is required"))
            continue
        problem = _problem(bound[name], declared, MAX_DEPTH)
        if problem is not None:
            problems.append((name + problem[0], problem[1]))
    if problems:
        raise InputError(problems)
    return bound


def check_schema(schema: Mapping[str, Any] | None) -> None:
    """Refuse defaults that do not fit their own type, or hold templates: an input is a value, so none can depend
    on another or on itself. Raises :class:`InputError`."""
    problems: list[tuple[str, str]] = []
    for name, declared in fields_of(schema).items():
        default = declared.get("default") if isinstance(declared, Mapping) else None
        if default is None:
            continue
        if holds_template(default):
            problems.append((f"{name}.default", "a default is a value and cannot hold a template"))
        elif (found := _problem(default, declared, MAX_DEPTH)) is not None:
            problems.append((f"{name}.default{found[0]}", found[1]))
    if problems:
        raise InputError(problems)


def _problem(value: Any, declared: Mapping[str, Any], depth: int) -> tuple[str, str] | None:
    """Where below the input, and what is wrong; ``None`` when it fits."""
    kind = declared.get("type")
    known = _KINDS.get(kind) if isinstance(kind, str) else None
    if known is not None and not known[1](value):
        return "", f"it must be {known[0]}, not {_shown(value)}"
    allowed = declared.get("enum")
    if isinstance(allowed, list) and allowed:
        keys = {fold(item, case_sensitive=True) for item in allowed}
        if fold(value, case_sensitive=True) not in keys:
            return "", f"it must be one of {', '.join(map(str, allowed))}"
    return _inside(value, declared, depth)


def _inside(value: Any, declared: Mapping[str, Any], depth: int) -> tuple[str, str] | None:
    items, properties = declared.get("items"), declared.get("properties")
    if depth == 0:
        return None
    if isinstance(value, list) and isinstance(items, Mapping):
        for index, item in enumerate(value):
            found = _problem(item, items, depth - 1)
            if found is not None:
                return f"[{index}]{found[0]}", found[1]
    if isinstance(value, Mapping) and isinstance(properties, Mapping):
        for name, inner in properties.items():
            if not isinstance(inner, Mapping):
                continue
            if value.get(name) is None:
                if inner.get("required"):
                    return f".{name}", "it is required"
                continue
            found = _problem(value[name], inner, depth - 1)
            if found is not None:
                return f".{name}{found[0]}", found[1]
    return None


def _number(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _integer(value: Any) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer())


def _text(value: Any) -> bool:
    return type(value) is str


def _moment(value: Any) -> bool:
    return type(value) is str and instant(value) is not None


def _medium(value: Any) -> bool:
    return type(value) is str or isinstance(value, Mapping)


_KINDS: Final[dict[str, tuple[str, Callable[[Any], bool]]]] = {
    "string": ("a string", _text),
    "text": ("a string", _text),
    "number": ("a number", _number),
    "float": ("a number", _number),
    "integer": ("a whole number", _integer),
    "boolean": ("true or false", lambda value: type(value) is bool),
    "object": ("an object", lambda value: isinstance(value, Mapping)),
    "array": ("a list", lambda value: isinstance(value, list)),
    "date": ("an ISO 8601 date", _moment),
    "datetime": ("an ISO 8601 date or datetime", _moment),
    "document_reference": ("a document id or an object with document_id", _medium),
    **dict.fromkeys(_MEDIA, ("an address, or an object", _medium)),
}


def _shown(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, Mapping) else type(value).__name__)
