"""The fields that requirements are on, and the walk over a document that visits only those."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.events.document import DocumentEvent
from schemas.times import format_instant
from streams.engines.retrieval.filters.paths import Path, resolve
from streams.engines.retrieval.percolate.cell import EMPTY, Cell
from streams.engines.retrieval.percolate.field_index import FieldIndex
from streams.engines.retrieval.percolate.normal import Requirement

_PAYLOAD: Final = "payload"


class Fields:
    """Paths → their indexes, ordered by the root field where a path begins."""

    def __init__(self, number_of: Callable[[Requirement], int]) -> None:
        self._number_of = number_of
        self._indexes: dict[Path, FieldIndex] = {}
        self._entries: dict[str, _Entry] = {}
        """By root field, what to do with its value."""
        self._own: list[str] = []
        """Fields of the event itself among them."""
        self._dotted: set[str] = set()
        """Root fields that hold dots themselves and begin a path: their documents are walked by the book."""

    def index(self, path: Path) -> FieldIndex:
        """The index of a path."""
        found = self._indexes.get(path)
        if found is None:
            found = self._indexes[path] = FieldIndex(path, self._number_of)
            first, *rest = path.text.split(".")
            self._entry(path.text).whole = found
            if rest:
                single = rest[0] if len(rest) == 1 and not rest[0].isdigit() else None
                self._entry(first).below.append((found, single))
                self._dotted.update(".".join([first, *rest[:end]]) for end in range(1, len(rest)))
            self._own = [name for name in _OWN if name in self._entries]
        return found

    def forget(self) -> None:
        """Find out anew what values lead to."""
        for index in self._indexes.values():
            index.forget()

    def _entry(self, name: str) -> "_Entry":
        return self._entries.setdefault(name, _Entry())

    def met(self, event: DocumentEvent, found: list[Cell]) -> None:
        """Append what the fields of a document meet, in any order; a requirement may be met twice."""
        payload = event.payload
        if type(payload) is not dict or _PAYLOAD in payload or not self._dotted.isdisjoint(payload):
            self._by_the_book(event.root(), found)
            return
        entries = self._entries
        if len(entries) < len(payload):
            here = [(entry, payload[name]) for name, entry in entries.items() if name in payload]
        else:
            here = [(entries[name], value) for name, value in payload.items() if name in entries]
        for entry, value in here:
            index = entry.whole
            if index is not None:
                cell = (index.strings.get(value) if type(value) is str else None) or index.one(value)
                if cell is not EMPTY:
                    found.append(cell)
            if entry.below:
                _walk(payload, value, entry.below, found)
        for name in self._own:
            if name not in payload and (index := entries[name].whole) is not None:
                own = own_field(event, name)
                if own is not None:
                    found.append(index.one(own))

    def _by_the_book(self, root: Mapping[str, Any], found: list[Cell]) -> None:
        for path, index in self._indexes.items():
            values = resolve(root, path)
            if values:
                found.append(index.several(values) if len(values) > 1 else index.one(values[0]))


class _Entry:
    """A root field: the index of the path that is just it, and those of paths that lead into it, with the field
    below where there is just one more."""

    __slots__ = ("below", "whole")

    def __init__(self) -> None:
        self.whole: FieldIndex | None = None
        self.below: list[tuple[FieldIndex, str | None]] = []


def _walk(
    payload: Mapping[str, Any], value: Any, below: list[tuple[FieldIndex, str | None]], found: list[Cell]
) -> None:
    """Into one root field."""
    kind = type(value)
    for index, name in below:
        if index.path.text in payload:
            # The literal name comes first.
            continue
        if name is None:
            values = resolve(payload, index.path)
        elif kind is dict:
            if name in value:
                inner = value[name]
                found.append((index.strings.get(inner) if type(inner) is str else None) or index.one(inner))
            continue
        elif kind is list:
            values = [item[name] for item in value if type(item) is dict and name in item]
        else:
            continue
        if len(values) == 1:
            inner = values[0]
            found.append((index.strings.get(inner) if type(inner) is str else None) or index.one(inner))
        elif values:
            found.append(index.several(values))


_OWN: Final = ("document_id", "collection_id", "occurred_at", "text", "asset_id")


def own_field(event: DocumentEvent, name: str) -> str | None:
    """A field of the event itself that its payload does not have, as ``DocumentEvent.root`` gives it."""
    if name == "occurred_at":
        return format_instant(event.occurred_at)
    value: str | None = getattr(event, name)
    return value
