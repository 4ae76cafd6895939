"""Lists filtered and sorted by any field, in memory: questions that no index answers (contract 1.7, 5). Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cmp_to_key
from typing import Any, Final, Generic, TypeVar

from schemas.api.base import JsonObject
from schemas.api.pages import Sort
from streams.engines.retrieval.errors import FilterError
from streams.engines.retrieval.filters.parse import Filter, matches, parse_filter
from streams.engines.retrieval.filters.paths import parse_path, resolve
from streams.runtime.http.errors import invalid
from streams.runtime.http.pages import PageRequest, bad_cursor

_MARK: Final = "sifted"

T = TypeVar("T")
Scalar = str | int | float | bool | None
_Place = tuple[tuple[Scalar, ...], str]


def searcher(search: str) -> Callable[[str], bool]:
    """Whether a text holds a substring, or is what ``*`` wildcards say; without regard to case (contract 1.7). In
    time that grows with the text, whatever is searched for."""
    first, *parts = search.casefold().split("*")

    def found(text: str) -> bool:
        text = text.casefold()
        if not parts:
            return first in text
        *inner, last = parts
        if not text.startswith(first):
            return False
        at = len(first)
        for part in inner:
            begins = text.find(part, at)
            if begins < 0:
                return False
            at = begins + len(part)
        return len(text) - len(last) >= at and text.endswith(last)

    return found


def read_filter(raw: JsonObject, *location: str, case_sensitive: bool = False) -> Filter:
    """The filter of a request, from its place in the body: ``filters``, if not said. Raises 422."""
    where = location or ("filters",)
    try:
        return parse_filter(raw, case_sensitive_default=case_sensitive, place=where[-1])
    except FilterError as error:
        raise invalid(str(error), "body", *where) from error


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """Something that can be listed."""

    id: str
    root: Mapping[str, Any]
    """Its fields, as filters and sorts name them."""
    value: T
    instants: Mapping[str, datetime] = field(default_factory=dict)
    """Fields that sort as instants: as text a fraction of a second would come before none."""


@dataclass(frozen=True, slots=True)
class Sifted:
    """What a list asks for; ``sorts`` is not empty. Strings sort without regard to case, numbers before them, and
    what has no value comes last, whatever the direction."""

    filter: Filter | None
    sorts: Sequence[Sort]

    def page(self, items: Sequence[Item[T]], page: PageRequest) -> tuple[list[T], tuple[Any, ...] | None, int]:
        """One page of those that fit, where the next begins, and how many fit. Raises 404 for the cursor of
        another list."""
        placed = [
            (self._place(item), item.value)
            for item in items
            if self.filter is None or matches(self.filter, item.root)
        ]
        compare = self._comparison()
        rank = cmp_to_key(compare)
        ordered = sorted(placed, key=lambda row: rank(row[0]))
        left = ordered[page.offset :]
        if page.cursor is not None:
            after = self._read(page.cursor)
            left = [row for row in ordered if compare(row[0], after) > 0]
        shown = left[: page.limit]
        more = None
        if len(left) > page.limit:
            keys, identifier = shown[-1][0]
            more = (self._mark(), list(keys), identifier)
        return [value for _, value in shown], more, len(ordered)

    def _read(self, cursor: tuple[Any, ...]) -> _Place:
        match cursor:
            case (mark, list(keys), str(identifier)) if mark == self._mark() and len(keys) == len(self.sorts):
                if all(isinstance(key, str | int | float | None) for key in keys):
                    return tuple(keys), identifier
        raise bad_cursor()

    def _mark(self) -> str:
        return " ".join((_MARK, *(f"{sort.field} {sort.direction}" for sort in self.sorts)))

    def _place(self, item: Item[T]) -> _Place:
        return tuple(_key(item, sort.field) for sort in self.sorts), item.id

    def _comparison(self) -> Callable[[_Place, _Place], int]:
        signs = [1 if sort.direction == "asc" else -1 for sort in self.sorts]

        def compare(a: _Place, b: _Place) -> int:
            for sign, left, right in zip(signs, a[0], b[0], strict=True):
                if (left is None) != (right is None):
                    return 1 if left is None else -1
                one, other = _rank(left), _rank(right)
                if one != other:
                    return sign if one > other else -sign
            return 0 if a[1] == b[1] else signs[0] * (1 if a[1] > b[1] else -1)

        return compare


def _key(item: Item[Any], name: str) -> Scalar:
    if name in item.instants:
        return item.instants[name].timestamp()
    values = resolve(item.root, parse_path(name))
    value = values[0] if values else None
    return value if isinstance(value, str | int | float) else None


def _rank(value: Scalar) -> tuple[int, float, str, str]:
    if isinstance(value, str):
        return 1, 0.0, value.lower(), value
    return 0, float(value or 0), "", ""
