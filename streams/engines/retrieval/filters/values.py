"""JSON values as filters see them: equality keys, instants, and the scalars of a field.

Source: contract section 5 (case, arrays, dates).
"""

import re
from collections.abc import Hashable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from schemas.times import EPOCH

Ordered = int | float | str
OrderKind = Literal["number", "instant", "string"]

MAX_VALUE_DEPTH: Final = 10
"""Lists nested deeper are equal to nothing, so that a hostile document cannot exhaust the stack."""

_OPAQUE: Final = ("opaque",)
_ISO: Final = re.compile(
    r"""(?: \d{4}-\d\d-\d\d (?: [T ] \d\d (?: :\d\d (?: :\d\d (?:[.,]\d+)? )? )? (?:Z|[+-]\d\d(?::?\d\d)?)? )?
          | \d{8} T \d{4} (?: \d\d (?:[.,]\d+)? )? (?:Z|[+-]\d\d(?::?\d\d)?)? )""",
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
_MICROSECOND: Final = timedelta(microseconds=1)


class OperandError(ValueError):
    """A value an operator cannot work with: ``where`` in it, as the rest of a path (``.center.lat``), and the
    problem in words; without a problem the operator's own words say what it takes, and ``item`` is what was
    found there."""

    def __init__(self, problem: str = "", where: str = "", item: object = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.where = where
        self.item = item


def lower(text: str) -> str:
    """The text in lower case, code point by code point: ``len`` stays, and the lower case of a part is a part of
    the lower case of the whole.

    ``str.lower`` differs for two letters: it looks around a capital sigma to choose between two small ones,
    and makes two code points of U+0130. Java's ``Character.toLowerCase``, and so Lucene, has neither.
    """
    if not text.isascii():
        if "\u0130" in text:
            text = text.replace("\u0130", "i")
        if "\u03a3" in text:
            text = text.replace("\u03a3", "\u03c3")
    return text.lower()


def fold(value: Any, *, case_sensitive: bool = False, depth: int = MAX_VALUE_DEPTH) -> Hashable:
    """A key such that two values are equal for a filter exactly when their keys are equal.

    Strings are lower-cased unless ``case_sensitive``; booleans are not numbers; 1 equals 1.0. Objects have a
    key that no filter value has.
    """
    key: Hashable = value
    kind = type(value)
    if kind is str:
        return key if case_sensitive else lower(value)
    if kind is bool:
        return ("bool", value)
    if kind is int or kind is float or value is None:
        return key
    if kind is list and depth > 0:
        return ("list", *(fold(item, case_sensitive=case_sensitive, depth=depth - 1) for item in value))
    return _OPAQUE


def scalars(values: Sequence[Any]) -> Iterator[Any]:
    """The values of a field with arrays taken apart, one level: operators ask whether any of them fits."""
    for value in values:
        if type(value) is list:
            yield from value
        else:
            yield value


def strings(values: Sequence[Any]) -> Iterator[str]:
    """The strings among :func:`scalars`."""
    for value in values:
        if type(value) is str:
            yield value
        elif type(value) is list:
            for item in value:
                if type(item) is str:
                    yield item


def instant(text: str) -> int | None:
    """Microseconds since 1970 of an ISO 8601 date (midnight UTC) or datetime (UTC where it names no zone);
    ``None`` for any other text.

    Read are ``2024-05-01``, that with ``T`` or a space and ``12``, ``12:00``, ``12:00:00`` or
    ``12:00:00.5`` (cut to microseconds), and ``20240501T120000``, each with ``Z``, ``+02``, ``+0200`` or
    ``+02:00``. Not read are weeks, days of the year, months alone and bare digits (``20240501`` may be any
    number): they compare as text.
    """
    if len(text) < 10 or (text[4] != "-" and text[8] not in "Tt") or _ISO.fullmatch(text) is None:
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // _MICROSECOND


def order_kind(bound: Any) -> OrderKind | None:
    """As what a bound compares: the kind of the filter's value decides, a document's value of another kind does
    not match. ``None`` for values without an order."""
    if type(bound) is int or type(bound) is float:
        return "number"
    if type(bound) is str:
        return "string" if instant(bound) is None else "instant"
    return None


def ordered(value: Any, kind: OrderKind, case_sensitive: bool) -> Ordered | None:
    """The value as something of ``kind`` that Python can order; ``None`` when it is of another kind."""
    if kind == "number":
        return value if type(value) is int or type(value) is float else None
    if type(value) is not str:
        return None
    if kind == "instant":
        return instant(value)
    return value if case_sensitive else lower(value)
