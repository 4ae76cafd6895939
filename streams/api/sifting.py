"""Definitions filtered and sorted by any of their fields, in memory: lists whose question no index answers
(contract 1.7, 5). Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any, Final

from pydantic import BaseModel

from schemas.api.alert import AlertResponse
from schemas.api.base import JsonObject
from schemas.api.cluster import ClusterResponse
from schemas.api.collection import CollectionResponse
from schemas.api.namespace import NamespaceResponse
from schemas.api.pages import Sort
from schemas.api.retriever import RetrieverResponse
from schemas.api.taxonomy import TaxonomyResponse
from schemas.api.webhook import WebhookResponse
from schemas.times import format_instant
from streams.engines.retrieval.errors import FilterError
from streams.engines.retrieval.filters.parse import Filter, matches, parse_filter
from streams.engines.retrieval.filters.paths import parse_path, resolve
from streams.runtime.definitions import StoredDefinition
from streams.runtime.http.errors import ApiError, invalid

_SHAPES: Final[Mapping[str, type[BaseModel]]] = {
    "alert": AlertResponse,
    "cluster": ClusterResponse,
    "collection": CollectionResponse,
    "namespace": NamespaceResponse,
    "retriever": RetrieverResponse,
    "taxonomy": TaxonomyResponse,
    "webhook": WebhookResponse,
}
_MARK: Final = "sifted"
_INSTANTS: Final = ("created_at", "updated_at")

Scalar = str | int | float | bool | None


def read_filter(raw: JsonObject, *, case_sensitive: bool) -> Filter:
    """The filter of a list. Raises 422."""
    try:
        return parse_filter(raw, case_sensitive_default=case_sensitive, place="filters")
    except FilterError as error:
        raise invalid(str(error), "body", "filters") from error


def check_sorts(kind: str, sorts: Sequence[Sort]) -> None:
    """Raises 422 for a field that the resource does not have."""
    known = _SHAPES[kind].model_fields
    for sort in sorts:
        if sort.field not in ("name", "id") and sort.field.partition(".")[0] not in known:
            message = f"{kind}s have no field {sort.field[:100]!r} to sort by. Fields: {', '.join(known)}"
            raise invalid(message, "body", "sort", "field")


@dataclass(frozen=True, slots=True)
class _Row:
    stored: StoredDefinition
    keys: tuple[Scalar, ...]

    @property
    def place(self) -> tuple[tuple[Scalar, ...], str]:
        return self.keys, self.stored.record.id


@dataclass(frozen=True, slots=True)
class Sifted:
    """What a list asks for."""

    kind: str
    filter: Filter | None
    sorts: Sequence[Sort]

    def rows(self, definitions: Sequence[StoredDefinition]) -> list[_Row]:
        """Those that fit, in order. Strings sort without regard to case, what has no value comes last."""
        found = []
        for stored in definitions:
            root = self._root(stored)
            if self.filter is None or matches(self.filter, root):
                found.append(_Row(stored, tuple(self._key(stored, root, sort.field) for sort in self.sorts)))
        compare = self._comparison()

        def by_place(one: _Row, other: _Row) -> int:
            return compare(one.place, other.place)

        return sorted(found, key=cmp_to_key(by_place))

    def after(self, rows: Sequence[_Row], cursor: tuple[Any, ...]) -> list[_Row]:
        """The rows behind a cursor. Raises 400 for one of another list."""
        match cursor:
            case (mark, list(keys), str(identifier)) if mark == self._mark() and len(keys) == len(self.sorts):
                if all(isinstance(key, str | int | float | None) for key in keys):
                    compare, place = self._comparison(), (tuple(keys), identifier)
                    return [row for row in rows if compare(row.place, place) > 0]
        raise ApiError(400, "The cursor is not one this server gave out for this list")

    def cursor(self, row: _Row) -> tuple[Any, ...]:
        """The cursor behind a row."""
        return (self._mark(), list(row.keys), row.stored.record.id)

    def _mark(self) -> str:
        return " ".join((_MARK, *(f"{sort.field} {sort.direction}" for sort in self.sorts)))

    def _root(self, stored: StoredDefinition) -> JsonObject:
        root = {
            **stored.body,
            f"{self.kind}_id": stored.record.id,
            "id": stored.record.id,
            "created_at": format_instant(stored.created_at),
            "updated_at": format_instant(stored.updated_at),
        }
        if self.kind == "webhook":
            root |= {"webhook_name": stored.body["name"], "is_active": stored.body["enabled"]}
        return root

    def _key(self, stored: StoredDefinition, root: JsonObject, field: str) -> Scalar:
        if field in _INSTANTS:
            # As text a fraction of a second would sort before none.
            return (stored.created_at if field == "created_at" else stored.updated_at).timestamp()
        if field == "name":
            return stored.record.name or str(root.get("name", ""))
        values = resolve(root, parse_path(field))
        value = values[0] if values else None
        return value if isinstance(value, str | int | float) else None

    def _comparison(self) -> Callable[[tuple[tuple[Scalar, ...], str], tuple[tuple[Scalar, ...], str]], int]:
        signs = [1 if sort.direction == "asc" else -1 for sort in self.sorts]

        def compare(a: tuple[tuple[Scalar, ...], str], b: tuple[tuple[Scalar, ...], str]) -> int:
            for sign, left, right in zip(signs, a[0], b[0], strict=True):
                if (left is None) != (right is None):
                    return 1 if left is None else -1
                one, other = _rank(left), _rank(right)
                if one != other:
                    return sign if one > other else -sign
            return 0 if a[1] == b[1] else signs[0] * (1 if a[1] > b[1] else -1)

        return compare


def _rank(value: Scalar) -> tuple[int, float, str, str]:
    """Numbers before strings, one order for all of them."""
    if isinstance(value, str):
        return 1, 0.0, value.lower(), value
    return 0, float(value or 0), "", ""
