"""Templates anywhere in a JSON value: found, checked, filled (contract section 6, Templates)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from streams.engines.retrieval.errors import StageError
from streams.engines.retrieval.templates.compiled import FAILURES, Names, Reference, compiled

_PLAIN: Final = (int, float, bool, type(None))
_OPENING: Final = re.compile(r"(?<!\{)\{\{(?!\{)|\{%")

__all__ = [
    "Names",
    "Reference",
    "fill",
    "holds_template",
    "is_template",
    "missing_inputs",
    "placed",
    "references",
    "surely_plain",
]


def has_braces(text: str) -> bool:
    """Whether a text holds a template: exactly two braces, or one with a percent sign. Three or more are text, as
    in other languages' ``{{{0}}}``."""
    return ("{{" in text or "{%" in text) and _OPENING.search(text) is not None


def is_template(value: Any) -> bool:
    """Whether the whole of ``value`` is filled in: a string with a template, or a dynamic value."""
    if isinstance(value, str):
        return has_braces(value)
    return isinstance(value, Mapping) and value.get("type") == "dynamic" and isinstance(value.get("field"), str)


def holds_template(value: Any) -> bool:
    """Whether ``value`` or something in it is a template. Written for speed: hundreds of thousands of definitions
    are read, and hardly any holds one."""
    rest = [value]
    for item in rest:
        kind = type(item)
        if kind is str:
            if ("{{" in item or "{%" in item) and has_braces(item):
                return True
        elif kind is dict:
            if "type" in item and is_template(item):
                return True
            rest += item.values()
        elif kind is list:
            if not _numbers(item):
                rest += item
        elif kind not in _PLAIN and isinstance(item, Mapping):
            rest.append(dict(item))
    return False


def surely_plain(value: Any) -> bool:
    """Whether there can be no template in ``value``, not even in the name of a key; ``False`` where it takes
    :func:`holds_template` to tell. The bytes of its JSON show it several times faster than a walk."""
    try:
        text = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return not (b"{{" in text or b"{%" in text or b'"dynamic"' in text)


def references(value: Any) -> frozenset[Reference]:
    """What all templates in ``value`` take out of namespaces. Raises :class:`PlanError` for one that cannot be
    read."""
    found: frozenset[Reference] = frozenset()
    for _, text in placed(value):
        found |= compiled(text).references
    return found


def missing_inputs(value: Any, names: Names) -> Iterator[str]:
    """Dotted paths of inputs that a template in ``value`` consists of and that have no value."""
    for _, text in placed(value):
        path = compiled(text).path
        if path is not None and path[0] == "INPUT" and compiled(text).fill(names) is None:
            yield ".".join(path[1:])


def fill(value: Any, names: Names, place: str) -> Any:
    """``value`` with every template filled; a template that is a whole string gives the native value, and nothing
    that is filled in is itself read as a template. Raises :class:`StageError` naming ``place``."""
    if isinstance(value, str):
        return _filled(value, names, place) if is_template(value) else value
    if isinstance(value, Mapping):
        if is_template(value):
            return _filled(_dynamic(value), names, place)
        return {key: fill(item, names, place) for key, item in value.items()}
    if isinstance(value, list) and not _numbers(value):
        return [fill(item, names, place) for item in value]
    return value


def _filled(text: str, names: Names, place: str) -> Any:
    try:
        return compiled(text).fill(names)
    except FAILURES as error:
        raise StageError(f"{place}: the template {text[:80]!r} could not be filled: {error}") from error


def _dynamic(value: Mapping[str, Any]) -> str:
    """``{"type": "dynamic", "field": "inputs.a.b"}`` as a template."""
    path = str(value["field"])
    head, _, rest = path.partition(".")
    keys = rest if head.lower() in ("input", "inputs") and rest else path
    return "{{ INPUT" + "".join(f"[{key!r}]" for key in keys.split(".")) + " }}"


def placed(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every template in ``value`` with its place, which begins with ``place``."""
    if isinstance(value, str):
        if is_template(value):
            yield place, value
    elif isinstance(value, Mapping):
        if is_template(value):
            yield place, _dynamic(value)
        else:
            for key, item in value.items():
                yield from placed(item, (*place, key))
    elif isinstance(value, list) and not _numbers(value):
        for index, item in enumerate(value):
            yield from placed(item, (*place, index))


def _numbers(value: list[Any]) -> bool:
    """A vector, whose thousands of numbers need no look."""
    return bool(value) and type(value[0]) in (int, float)
