"""What a list of documents asks: which fit, and in which order. Pure."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from schemas.api.base import JsonObject
from schemas.api.document import ListPartition
from schemas.api.pages import Sort
from schemas.events.document import DocumentEvent
from streams.api.stored import ORDERS, WINDOW, Order, StoredDocument
from streams.engines.retrieval.filters.parse import Filter, matches, parse_filter
from streams.engines.retrieval.filters.paths import Path, parse_path, resolve
from streams.engines.retrieval.stages.values import order as order_of
from streams.retrieval.sifting import read_filter
from streams.retrieval.sql.filters import SqlFilter, compile_filter
from streams.runtime.document_writes import known_root
from streams.runtime.http.errors import invalid

EVERYTHING: Final = parse_filter({})
_SEARCHED: Final = ("text", "name", "title", "description")
"""Fields that a search looks in, besides the id."""
_KNOWN_HERE: Final = ("_internal", "created_at", "updated_at")
"""What the server knows of a document where it has no field of that name."""


@dataclass(frozen=True, slots=True)
class Search:
    """A substring, or with ``*`` wildcards a whole text, of the id or of one of some fields."""

    parts: tuple[str, ...]
    case_sensitive: bool

    def finds(self, document: DocumentEvent) -> bool:
        """Whether a document fits."""
        root = document.root()
        texts = (document.document_id, *(root.get(name) for name in _SEARCHED))
        return any(self._in(text) for text in texts if isinstance(text, str))

    def _in(self, text: str) -> bool:
        text = text if self.case_sensitive else text.casefold()
        if len(self.parts) == 1:
            return self.parts[0] in text
        first, *middle, last = self.parts
        if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
            return False
        at, end = len(first), len(text) - len(last)
        for part in middle:
            found = text.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True


@dataclass(frozen=True)
class Wanted:
    """Which documents."""

    filter: Filter = EVERYTHING
    search: Search | None = None
    partition: ListPartition | None = None
    internal: bool = field(default=False)
    """The filter asks what the server knows of documents, ``_internal``."""

    @cached_property
    def narrowing(self) -> SqlFilter | None:
        """What the database can say of it, for :data:`~streams.api.stored.WINDOW`."""
        if self.filter.trivial or self.internal:
            return None
        found = compile_filter(self.filter, WINDOW)
        return found if found.helps else None

    @property
    def everything(self) -> bool:
        """All of them."""
        return self.filter.trivial and self.search is None and self.partition is None

    def fits(self, document: StoredDocument) -> bool:
        """Whether a document is among them."""
        event = document.event
        part = self.partition
        if part is not None and zlib.crc32(event.document_id.encode()) % part.count != part.index:
            return False
        if self.search is not None and not self.search.finds(event):
            return False
        return self.filter.trivial or matches(self.filter, root_of(document) if self.internal else event.root())


def wanted(
    filters: JsonObject | None,
    search: str | None = None,
    *,
    case_sensitive: bool = False,
    partition: ListPartition | None = None,
) -> Wanted:
    """Read what a list asks. Raises 422."""
    parsed = read_filter(filters or {}, case_sensitive=case_sensitive)
    if search is not None and "\x00" in search:
        raise invalid("Text must not contain a NUL character", "search")
    found = None
    if search:
        parts = (search if case_sensitive else search.casefold()).split("*")
        found = Search(tuple(parts), case_sensitive)
    return Wanted(parsed, found, partition, "_internal" in str(filters))


def root_of(document: StoredDocument) -> JsonObject:
    """A document's fields with what the server knows of it, as it is shown."""
    return known_root(document.event, document.created_at, document.updated_at)


@dataclass(frozen=True, slots=True)
class Key:
    """A field to sort by."""

    name: str
    path: Path
    descending: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """In which order: one that the database has, or keys by which documents are compared here."""

    order: Order | None
    descending: bool = True
    keys: Sequence[Key] = ()

    @property
    def label(self) -> str:
        """Says in a cursor which order it is of."""
        return ",".join(f"{key.name}:{key.descending}" for key in self.keys) or f"{self.order}:{self.descending}"


def plan_of(sorts: Sequence[Sort]) -> Plan:
    """The order asked for; newest first where none is. Raises 422."""
    if not sorts:
        return Plan("created_at")
    if len(sorts) == 1 and sorts[0].field in ORDERS:
        return Plan(ORDERS[sorts[0].field], sorts[0].direction == "desc")
    try:
        keys = [Key(sort.field, parse_path(sort.field), sort.direction == "desc") for sort in sorts]
    except ValueError as error:
        raise invalid(str(error), "body", "sort", "field") from error
    return Plan(None, keys=keys)


class Rank:
    """Where a document stands by some keys: values of other types by type, those without one last whichever way,
    equal ones by collection and id."""

    __slots__ = ("keys", "name", "values")

    def __init__(self, keys: Sequence[Key], values: Sequence[Any], name: tuple[str, str]) -> None:
        self.keys = keys
        self.values = [order_of(value) for value in values]
        self.name = name

    def __lt__(self, other: "Rank") -> bool:
        for key, ours, theirs in zip(self.keys, self.values, other.values, strict=True):
            if ours == theirs:
                continue
            if ours is None or theirs is None:
                return ours is not None
            return (ours > theirs) if key.descending else (ours < theirs)
        return self.name < other.name


def values_of(keys: Sequence[Key], document: StoredDocument) -> list[Any]:
    """What a document is compared by."""
    root = document.event.root()
    if any(key.name.partition(".")[0] in _KNOWN_HERE for key in keys):
        known = root_of(document)
        root = {**known["_internal"], **known}
    values = [(resolve(root, key.path) or [None])[0] for key in keys]
    # Lists and objects have no order among themselves.
    return [[] if isinstance(value, list | dict) else value for value in values]
