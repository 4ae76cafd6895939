"""The operators of the filter language: what value each takes and when it holds (contract section 5).

A field may lead to several values (a path through a list of objects) and a value may be an array: an operator
holds when it holds for any of them. No value at all makes every operator here false but ``is_null``. The
negations ``ne``, ``nin``, ``exists: false`` and ``is_null: false`` are built by the parser.
"""

import operator
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import re2

from streams.engines.retrieval.filters.values import MAX_VALUE_DEPTH, fold, order_kind, ordered, scalars, strings
from streams.engines.retrieval.filters.words import line, stems, tokens

Test = Callable[[Sequence[Any]], bool]
MAX_PATTERN: Final = 2_000


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator."""

    accepts: str
    """The value it takes, in words for an error message."""
    build: Callable[[Any, bool], tuple[Hashable, Test]]
    """From the filter's value and case sensitivity: what identifies the test, and the test over the values a
    path leads to. Raises ``ValueError`` or ``TypeError`` for a value that is not accepted."""


def _scalar_or_list(value: Any, depth: int = MAX_VALUE_DEPTH) -> Any:
    if type(value) is list and depth > 0:
        for item in value:
            _scalar_or_list(item, depth - 1)
    elif not (value is None or type(value) in (str, bool, int, float)):
        raise ValueError
    return value


def _string(value: Any) -> str:
    if type(value) is not str:
        raise ValueError
    value.encode()  # refuses lone surrogates, which no document can hold
    return value


def _eq(value: Any, case_sensitive: bool) -> tuple[Hashable, Test]:
    key = fold(_scalar_or_list(value), case_sensitive=case_sensitive)
    return key, lambda values: any(key == found for found in _keys(values, case_sensitive))


def _in(value: Any, case_sensitive: bool) -> tuple[Hashable, Test]:
    if type(value) is not list:
        raise ValueError
    keys = frozenset(fold(_scalar_or_list(item), case_sensitive=case_sensitive) for item in value)
    return keys, lambda values: any(found in keys for found in _keys(values, case_sensitive))


def _keys(values: Sequence[Any], case_sensitive: bool) -> list[Hashable]:
    """Keys of the whole values and of the elements of arrays."""
    keys: list[Hashable] = []
    for value in values:
        keys.append(fold(value, case_sensitive=case_sensitive))
        if type(value) is list:
            keys.extend(fold(item, case_sensitive=case_sensitive) for item in value)
    return keys


def _compare(holds: Callable[[Any, Any], bool]) -> Callable[[Any, bool], tuple[Hashable, Test]]:
    def build(value: Any, case_sensitive: bool) -> tuple[Hashable, Test]:
        kind = order_kind(value)
        if kind is None:
            raise ValueError
        bound = ordered(value, kind, case_sensitive)

        def test(values: Sequence[Any]) -> bool:
            for item in scalars(values):
                found = ordered(item, kind, case_sensitive)
                if found is not None and holds(found, bound):
                    return True
            return False

        return (kind, bound), test

    return build


def _contains(value: Any, case_sensitive: bool) -> tuple[Hashable, Test]:
    if value is None or type(value) is list:
        raise ValueError
    key = fold(_scalar_or_list(value), case_sensitive=case_sensitive)
    part = key if isinstance(key, str) else None

    def test(values: Sequence[Any]) -> bool:
        for found in values:
            if type(found) is list:
                if any(fold(item, case_sensitive=case_sensitive) == key for item in found):
                    return True
            elif (
                part is not None and type(found) is str and part in (found if case_sensitive else found.casefold())
            ):
                return True
        return False

    return key, test


def _over_strings(holds: Callable[[str, str], bool]) -> Callable[[Any, bool], tuple[Hashable, Test]]:
    def build(value: Any, case_sensitive: bool) -> tuple[Hashable, Test]:
        part = _string(value) if case_sensitive else _string(value).casefold()
        return part, lambda values: any(
            holds(found if case_sensitive else found.casefold(), part) for found in strings(values)
        )

    return build


def _text(value: Any, _: bool) -> tuple[Hashable, Test]:
    part = _string(value).casefold()
    return part, lambda values: any(part in found.casefold() for found in strings(values))


def _regex(value: Any, case_sensitive: bool) -> tuple[Hashable, Test]:
    if len(_string(value)) > MAX_PATTERN:
        raise ValueError
    options = re2.Options()
    options.case_sensitive = case_sensitive
    options.log_errors = False
    try:
        search = re2.compile(value, options).search
    except re2.error as error:
        raise ValueError(f"not a regular expression of RE2 ({error})") from error
    return value, lambda values: any(search(found) is not None for found in strings(values))


def _phrase(value: Any, case_sensitive: bool) -> tuple[Hashable, Test]:
    words = tokens(_string(value) if case_sensitive else _string(value).casefold())
    if not words:
        raise ValueError
    part = line(words)
    return tuple(words), lambda values: any(
        part in line(tokens(found if case_sensitive else found.casefold())) for found in strings(values)
    )


def _words(value: Any, case_sensitive: bool) -> tuple[Hashable, Test]:
    wanted = stems(_string(value), case_sensitive=case_sensitive)
    if not wanted:
        raise ValueError
    return wanted, lambda values: any(
        wanted <= stems(found, case_sensitive=case_sensitive) for found in strings(values)
    )


def _exists(_: Any, __: bool) -> tuple[Hashable, Test]:
    return True, lambda values: len(values) > 0


def _is_null(_: Any, __: bool) -> tuple[Hashable, Test]:
    return True, lambda values: all(value is None for value in values)


_TEXT: Final = "a string"
_BOUND: Final = "a number, a string or an ISO 8601 date"

OPERATORS: Final[dict[str, Operator]] = {
    "eq": Operator("a scalar or a list", _eq),
    "in": Operator("a list of scalars or lists", _in),
    "gt": Operator(_BOUND, _compare(operator.gt)),
    "gte": Operator(_BOUND, _compare(operator.ge)),
    "lt": Operator(_BOUND, _compare(operator.lt)),
    "lte": Operator(_BOUND, _compare(operator.le)),
    "contains": Operator("a string, number or boolean", _contains),
    "starts_with": Operator(_TEXT, _over_strings(str.startswith)),
    "ends_with": Operator(_TEXT, _over_strings(str.endswith)),
    "text": Operator(_TEXT, _text),
    "regex": Operator(f"a pattern of RE2 of at most {MAX_PATTERN} characters", _regex),
    "phrase": Operator("a string with at least one word", _phrase),
    "words": Operator("a string with at least one word", _words),
    "exists": Operator("true or false", _exists),
    "is_null": Operator("true or false", _is_null),
}
"""The operators that are not the negation of another."""

NEGATIONS: Final = {"ne": "eq", "nin": "in"}
NAMES: Final = (*OPERATORS, *NEGATIONS)
NOT_YET: Final = ("geo_radius", "geo_bounding_box", "geo_polygon")
