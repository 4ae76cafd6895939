"""The operators of the filter language: what value each takes and when it holds (contract section 5).

A field may lead to several values (a path through a list of objects) and a value may be an array: an operator
holds when it holds for any of them. No value at all makes every operator here false but ``is_null``. The
negations ``ne``, ``nin``, ``exists: false`` and ``is_null: false`` are built by the parser. No value of a
document makes an operator raise.
"""

import math
import operator
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streams.engines.retrieval.filters import geo
from streams.engines.retrieval.filters.patterns import MAX_PATTERN, Pattern
from streams.engines.retrieval.filters.tokens import line, stems, token_line, token_stems, tokens
from streams.engines.retrieval.filters.values import (
    MAX_VALUE_DEPTH,
    OperandError,
    fold,
    lower,
    order_kind,
    ordered,
    scalars,
    strings,
)


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator."""

    accepts: str
    """The value it takes, in words for an error message."""
    read: Callable[[Any, bool], Hashable]
    """From the filter's value and case sensitivity the operand: equal for values that ask the same. Raises
    :class:`OperandError` for a value that is not accepted."""
    test: Callable[[Sequence[Any], Any, bool], bool]
    """Whether it holds, from the values a path leads to, the operand and case sensitivity."""
    cased: bool = True
    """Whether case sensitivity can change what it answers."""


def _plain(value: Any, where: str = "", depth: int = MAX_VALUE_DEPTH) -> Any:
    if type(value) is list:
        if not depth:
            raise OperandError(f"lists are nested deeper than {MAX_VALUE_DEPTH}", where)
        for index, item in enumerate(value):
            _plain(item, f"{where}[{index}]", depth - 1)
    elif type(value) is str:
        _string(value, where)
    elif type(value) is float and not math.isfinite(value):
        raise OperandError("a number is finite", where)
    elif not (value is None or type(value) in (bool, int, float)):
        raise OperandError(where=where, item=value)
    return value


def _string(value: Any, where: str = "") -> str:
    if type(value) is not str:
        raise OperandError(where=where, item=value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise OperandError("half of a surrogate pair is no character", where) from None
    return value


def _read_eq(value: Any, case_sensitive: bool) -> Hashable:
    return fold(_plain(value), case_sensitive=case_sensitive)


def _eq(values: Sequence[Any], key: Any, case_sensitive: bool) -> bool:
    for value in values:
        if fold(value, case_sensitive=case_sensitive) == key:
            return True
        if type(value) is list and any(fold(item, case_sensitive=case_sensitive) == key for item in value):
            return True
    return False


def _read_in(value: Any, case_sensitive: bool) -> Hashable:
    if type(value) is not list:
        raise OperandError
    return frozenset(fold(item, case_sensitive=case_sensitive) for item in _plain(value))


def _in(values: Sequence[Any], keys: Any, case_sensitive: bool) -> bool:
    for value in values:
        if fold(value, case_sensitive=case_sensitive) in keys:
            return True
        if type(value) is list and any(fold(item, case_sensitive=case_sensitive) in keys for item in value):
            return True
    return False


def _read_bound(value: Any, case_sensitive: bool) -> Hashable:
    kind = order_kind(_plain(value))
    if kind is None:
        raise OperandError
    return kind, ordered(value, kind, case_sensitive)


def _compare(holds: Callable[[Any, Any], bool]) -> Operator:
    def test(values: Sequence[Any], operand: Any, case_sensitive: bool) -> bool:
        kind, bound = operand
        for item in scalars(values):
            found = ordered(item, kind, case_sensitive)
            if found is not None and holds(found, bound):
                return True
        return False

    return Operator("a number, a string or an ISO 8601 date", _read_bound, test)


def _read_part(value: Any, case_sensitive: bool) -> Hashable:
    if value is None or type(value) is list:
        raise OperandError
    return fold(_plain(value), case_sensitive=case_sensitive)


def _contains(values: Sequence[Any], key: Any, case_sensitive: bool) -> bool:
    for value in values:
        if type(value) is list:
            if any(fold(item, case_sensitive=case_sensitive) == key for item in value):
                return True
        elif type(value) is str and type(key) is str and key in (value if case_sensitive else lower(value)):
            return True
    return False


def _read_string(value: Any, case_sensitive: bool) -> str:
    return _string(value) if case_sensitive else lower(_string(value))


def _over_strings(holds: Callable[[str, str], bool]) -> Operator:
    def test(values: Sequence[Any], part: Any, case_sensitive: bool) -> bool:
        return any(holds(text if case_sensitive else lower(text), part) for text in strings(values))

    return Operator("a string", _read_string, test)


def _text(values: Sequence[Any], part: Any, _: bool) -> bool:
    return any(part in lower(text) for text in strings(values))


def _read_regex(value: Any, case_sensitive: bool) -> Hashable:
    return Pattern(_string(value), case_sensitive=case_sensitive)


def _regex(values: Sequence[Any], pattern: Any, _: bool) -> bool:
    return any(pattern.found_in(text) for text in strings(values))


def _read_phrase(value: Any, _: bool) -> Hashable:
    found = tuple(tokens(_string(value)))
    if not found:
        raise OperandError("there is no word in it")
    return found


def _phrase(values: Sequence[Any], words: Any, _: bool) -> bool:
    part = line(words)
    return any(part in token_line(text) for text in strings(values))


def _read_words(value: Any, _: bool) -> Hashable:
    wanted = stems(_string(value))
    if not wanted:
        raise OperandError("there is no word in it")
    return wanted


def _words(values: Sequence[Any], wanted: Any, _: bool) -> bool:
    return any(wanted <= token_stems(text) for text in strings(values))


def _geo(accepts: str, read: Callable[[Any], Hashable], test: Callable[[Sequence[Any], Any], bool]) -> Operator:
    return Operator(accepts, lambda value, _: read(value), lambda values, shape, _: test(values, shape), False)


_SWITCH: Final = "true or false"
_WORDS: Final = "a string with at least one word"
_POINT: Final = '{"lat", "lon"}'

OPERATORS: Final[dict[str, Operator]] = {
    "eq": Operator("a scalar or a list", _read_eq, _eq),
    "in": Operator("a list of scalars or lists", _read_in, _in),
    "gt": _compare(operator.gt),
    "gte": _compare(operator.ge),
    "lt": _compare(operator.lt),
    "lte": _compare(operator.le),
    "contains": Operator("a string, number or boolean", _read_part, _contains),
    "starts_with": _over_strings(str.startswith),
    "ends_with": _over_strings(str.endswith),
    "text": Operator("a string", lambda value, _: lower(_string(value)), _text, False),
    "regex": Operator(f"a pattern of RE2 of at most {MAX_PATTERN} characters", _read_regex, _regex),
    "phrase": Operator(_WORDS, _read_phrase, _phrase, False),
    "words": Operator(_WORDS, _read_words, _words, False),
    "exists": Operator(_SWITCH, lambda _, __: True, lambda values, _, __: len(values) > 0, False),
    "is_null": Operator(
        _SWITCH, lambda _, __: True, lambda values, _, __: all(value is None for value in values), False
    ),
    "geo_radius": _geo(f'{{"center": {_POINT}, "radius": metres}}', geo.read_circle, geo.in_circle),
    "geo_bounding_box": _geo(f'{{"top_left": {_POINT}, "bottom_right": {_POINT}}}', geo.read_box, geo.in_box),
    "geo_polygon": _geo(
        f'{{"exterior": {{"points": [{_POINT}, ...]}}, "interiors"?: [...]}}', geo.read_polygon, geo.in_polygon
    ),
}
"""The operators that are not the negation of another."""

NEGATIONS: Final = {"ne": "eq", "nin": "in"}
NAMES: Final = (*OPERATORS, *NEGATIONS)
