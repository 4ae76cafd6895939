"""The filter language: AND/OR/NOT trees, conditions and shorthand, parsed once (contract section 5)."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from streams.engines.retrieval.errors import FilterError
from streams.engines.retrieval.filters.nodes import (
    ALWAYS,
    Condition,
    Node,
    Not,
    Or,
    all_of,
    any_of,
    condition,
    evaluate,
    shorten,
    to_json,
)
from streams.engines.retrieval.filters.operators import NAMES, NEGATIONS, OPERATORS
from streams.engines.retrieval.filters.paths import Path, parse_path, resolve
from streams.engines.retrieval.filters.values import OperandError

MAX_DEPTH: Final = 10
"""Levels of AND, OR and NOT, the filter's own object being the first."""

_LOGICAL: Final = ("AND", "OR", "NOT")
_LEAF: Final = frozenset(("field", "operator", "value", "case_sensitive"))
_SCALARS: Final = frozenset((str, int, float, bool))
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter; immutable and hashable, equal filters compare equal."""

    root: Node

    @property
    def trivial(self) -> bool:
        """Whether it matches every document because it asks nothing."""
        return self.root == ALWAYS


def parse_filter(raw: object, *, case_sensitive_default: bool = False, place: str = "filter") -> Filter:
    """Read a filter: a logical operator or a bare condition.

    ``case_sensitive_default`` is how strings compare where nothing says so; an explicit ``case_sensitive:
    true`` on any enclosing level wins. ``place`` begins the place that a :class:`FilterError` names.
    """
    return Filter(_node(raw, case_sensitive_default, place, 1))


def matches(filter_: Filter, root: Mapping[str, Any]) -> bool:
    """Whether a document, given by its root fields, fits. The reference for every faster way."""
    return evaluate(filter_.root, lambda condition: condition.test(resolve(root, condition.path)))


def _node(raw: object, case_sensitive: bool, place: str, depth: int) -> Node:
    # Asked before the abstract type, which answers several times slower.
    if type(raw) is not dict and not isinstance(raw, Mapping):
        raise FilterError(place, f"expected an object (a condition or AND, OR, NOT), found {_kind(raw)}")
    case_sensitive = case_sensitive or _flag(raw, place)
    if "field" in raw or "operator" in raw or "value" in raw:
        return _leaf(raw, case_sensitive, place)
    if depth > MAX_DEPTH:
        raise FilterError(place, f"nested deeper than {MAX_DEPTH} levels")
    parts: list[Node] = []
    for key, value in raw.items():
        if type(key) is not str:
            raise FilterError(place, f"keys are strings, found {key!r}")
        if key == "case_sensitive" or (key in _LOGICAL and value is None):
            continue
        if key in _LOGICAL:
            parts.extend(_logical(key, value, case_sensitive, place, depth))
        else:
            parts.append(_shorthand(key, value, case_sensitive, place))
    return all_of(parts)


def _flag(raw: Mapping[str, Any], place: str) -> bool:
    flag = raw.get("case_sensitive")
    if flag is not None and type(flag) is not bool:
        raise FilterError(f"{place}.case_sensitive", f"expected true or false, found {_kind(flag)}")
    return flag is True


def _logical(key: str, value: object, case_sensitive: bool, place: str, depth: int) -> list[Node]:
    place = f"{place}.{key}"
    if key == "NOT" and isinstance(value, Mapping):
        return [Not(_node(value, case_sensitive, place, depth + 1))]
    if not isinstance(value, list):
        raise FilterError(place, f"expected a list of conditions, found {_kind(value)}")
    children = [_node(item, case_sensitive, f"{place}[{index}]", depth + 1) for index, item in enumerate(value)]
    if key == "AND":
        return children
    if not children:
        return []
    return [any_of(children)] if key == "OR" else [Not(any_of(children))]


def _leaf(raw: Mapping[str, Any], case_sensitive: bool, place: str) -> Node:
    if not raw.keys() <= _LEAF:
        extra = sorted(str(key) for key, value in raw.items() if key not in _LEAF and value is not None)
        if extra:
            raise FilterError(
                place,
                f"a condition has field, operator, value and case_sensitive only, found also {', '.join(extra)}",
            )
    if "field" not in raw:
        raise FilterError(place, "a condition needs field")
    field, name = raw["field"], raw.get("operator")
    if type(field) is not str:
        raise FilterError(f"{place}.field", f"expected a path, found {_kind(field)}")
    if name is None:
        if "value" not in raw:
            raise FilterError(place, "a condition needs operator or value beside field")
        name = "eq"
    if type(name) is not str or name not in NAMES:
        raise FilterError(f"{place}.operator", f"unknown operator {name!r}; operators are {', '.join(NAMES)}")
    try:
        path = parse_path(field)
    except ValueError as error:
        raise FilterError(f"{place}.field", str(error)) from error
    return _condition(path, name, raw.get("value", _ABSENT), case_sensitive, place, f"{place}.value")


def _shorthand(key: str, value: Any, case_sensitive: bool, place: str) -> Node:
    here = f"{place}.{key}"
    if key.upper() in _LOGICAL or key.startswith("$"):
        raise FilterError(here, "logical operators are spelled AND, OR and NOT")
    try:
        path = parse_path(key)
    except ValueError as error:
        raise FilterError(here, str(error)) from error
    if isinstance(value, Mapping):
        case_sensitive = case_sensitive or _flag(value, here)
        operators = {name: item for name, item in value.items() if name != "case_sensitive"}
        if not operators or not all(name in NAMES for name in operators):
            raise FilterError(
                here,
                _dynamic(value)
                or f"an object here must map operators to values; operators are {', '.join(NAMES)}",
            )
        return all_of(
            [
                _condition(path, name, item, case_sensitive, here, f"{here}.{name}")
                for name, item in operators.items()
            ]
        )
    return _condition(path, "in" if isinstance(value, list) else "eq", value, case_sensitive, here, here)


def _condition(path: Path, name: str, value: Any, case_sensitive: bool, place: str, value_place: str) -> Node:
    """``place`` is the condition's, ``value_place`` where its value stands."""
    if name in NEGATIONS:
        return Not(_condition(path, NEGATIONS[name], value, case_sensitive, place, value_place))
    if name in ("exists", "is_null"):
        if value is _ABSENT or value is None:
            value = True
        if type(value) is not bool:
            raise FilterError(value_place, f"{name} takes true or false, found {_kind(value)}")
        found = condition(path, name, True, False, True)
        return found if value else Not(found)
    if value is _ABSENT:
        raise FilterError(place, f"the operator {name} needs a value: {OPERATORS[name].accepts}")
    if name == "eq" and value is None:
        return condition(path, "is_null", True, False, True)
    if name == "in" and type(value) is list and None in value:
        # All of it is read first, so that an error names the place of an item in the list as it was given.
        _make(path, name, value, case_sensitive, value_place)
        rest = [item for item in value if item is not None]
        null = condition(path, "is_null", True, False, True)
        return Or((_make(path, name, rest, case_sensitive, value_place), null)) if rest else null
    return _make(path, name, value, case_sensitive, value_place)


def _make(path: Path, name: str, value: Any, case_sensitive: bool, place: str) -> Condition:
    operator = OPERATORS[name]
    try:
        operand = operator.read(value, case_sensitive)
    except OperandError as error:
        detail = _dynamic(value) or error.problem
        found = error.item if error.where and not error.problem else value
        raise FilterError(
            f"{place}{error.where}",
            f"{name} takes {operator.accepts}, found {_kind(found)}" + (f": {detail}" if detail else ""),
        ) from error
    if type(value) not in _SCALARS and isinstance(value, (list, Mapping)):
        spelled: Hashable = shorten(to_json(value)).encode()
    else:
        spelled = operand if operand == value and type(operand) is type(value) else value
    return condition(path, name, operand, case_sensitive and operator.cased, spelled)


def _dynamic(value: object) -> str:
    if isinstance(value, Mapping) and value.get("type") == "dynamic":
        return f"a dynamic value ({value.get('field')!r}) has no inputs to come from here"
    return ""


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), type(value).__name__)
