"""The fields that requirements are on, and the walk over documents that visits only those.

Documents are taken by *shape*, the names of their root fields in order: what is asked of documents of one shape is
found out once, and their values come to each field's index in columns.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final, TypeAlias

import numpy as np

from schemas.events.document import DocumentEvent
from schemas.times import format_instant
from streams.engines.retrieval.filters.paths import Path, resolve
from streams.engines.retrieval.percolate.field_index import FieldIndex
from streams.engines.retrieval.percolate.growing import Integers
from streams.engines.retrieval.percolate.met import Met
from streams.engines.retrieval.percolate.normal import Requirement

_PAYLOAD: Final = "payload"
_SHAPES: Final = 4_096
_OWN: Final = ("document_id", "collection_id", "occurred_at", "text", "asset_id")

Names: TypeAlias = tuple[str, ...]


class Fields:
    """Paths → their indexes, ordered by the root field where a path begins."""

    def __init__(self, number_of: Callable[[Requirement], int], met: Met) -> None:
        self._number_of = number_of
        self._met = met
        self._indexes: dict[Path, FieldIndex] = {}
        self._entries: dict[str, _Entry] = {}
        """By root field, what to do with its value."""
        self._dotted: set[str] = set()
        """Root fields that hold dots themselves and begin a path: their documents are walked by the book."""
        self._shapes: dict[Names, _Shape | None] = {}
        """What is asked of documents with these root fields; ``None`` where they are walked by the book."""

    def index(self, path: Path) -> FieldIndex:
        """The index of a path."""
        found = self._indexes.get(path)
        if found is None:
            found = self._indexes[path] = FieldIndex(path, self._number_of, self._met)
            self._shapes.clear()
            first, *rest = path.text.split(".")
            column = _Column(found)
            self._entry(path.text).whole = column
            if rest:
                single = rest[0] if len(rest) == 1 and not rest[0].isdigit() else None
                self._entry(first).below.append((column, single))
                self._dotted.update(".".join([first, *rest[:end]]) for end in range(1, len(rest)))
        return found

    def forget(self) -> None:
        """Find out anew what values meet."""
        for index in self._indexes.values():
            index.forget()

    def _entry(self, name: str) -> "_Entry":
        return self._entries.setdefault(name, _Entry())

    def met(self, events: Sequence[DocumentEvent]) -> tuple[Integers, Integers]:
        """Codes of what the fields of documents meet, and the index of each one's document, in any order; a
        requirement may be met twice."""
        found = _Found()
        shapes = self._shapes
        alike: dict[Names, list[int]] = {}
        for at, event in enumerate(events):
            payload = event.payload
            if type(payload) is not dict:
                self._by_the_book(event, at, found)
                continue
            names = tuple(payload)
            together = alike.get(names)
            if together is None:
                alike[names] = [at]
            else:
                together.append(at)
        columns: dict[_Column, None] = {}
        for names, documents in alike.items():
            shape = shapes[names] if names in shapes else self._shape(names)
            if shape is None:
                for at in documents:
                    self._by_the_book(events[at], at, found)
            else:
                shape.read([events[at] for at in documents], documents, found)
                columns.update(shape.columns)
        for column in columns:
            column.met(found)
        return found.arrays()

    def _shape(self, names: Names) -> "_Shape | None":
        if len(self._shapes) >= _SHAPES:
            self._shapes.clear()
        shape = None
        if _PAYLOAD not in names and self._dotted.isdisjoint(names):
            entries = [(name, entry) for name in names if (entry := self._entries.get(name)) is not None]
            shape = _Shape(
                [(name, entry.whole) for name, entry in entries if entry.whole is not None],
                # The literal name comes first.
                [
                    (name, column, inner)
                    for name, entry in entries
                    for column, inner in entry.below
                    if column.index.path.text not in names
                ],
                [
                    (name, entry.whole)
                    for name in _OWN
                    if name not in names and (entry := self._entries.get(name)) is not None and entry.whole
                ],
            )
        self._shapes[names] = shape
        return shape

    def _by_the_book(self, event: DocumentEvent, at: int, found: "_Found") -> None:
        root = event.root()
        for path, index in self._indexes.items():
            if values := resolve(root, path):
                found.add((at,), (index.several(values) if len(values) > 1 else index.one(values[0]),))


class _Column:
    """The values of one field in the documents in hand."""

    __slots__ = ("_documents", "_values", "index")

    def __init__(self, index: FieldIndex) -> None:
        self.index = index
        self._documents: list[int] = []
        self._values: list[Any] = []

    def add(self, documents: Iterable[int], values: Iterable[Any]) -> None:
        """Documents that have one value each."""
        self._documents += documents
        self._values += values

    def met(self, found: "_Found") -> None:
        """Find what the documents meet, and let go of them."""
        found.add(self._documents, self.index.codes(self._values))
        self._documents, self._values = [], []


class _Entry:
    """A root field: the column of the path that is just it, and those of paths that lead into it, with the field
    below where there is just one more."""

    __slots__ = ("below", "whole")

    def __init__(self) -> None:
        self.whole: _Column | None = None
        self.below: list[tuple[_Column, str | None]] = []


class _Found:
    """Codes and documents as they are found."""

    __slots__ = ("_codes", "_count", "_documents")

    def __init__(self) -> None:
        self._codes: list[Sequence[int]] = []
        self._documents: list[Sequence[int]] = []
        self._count = 0

    def add(self, documents: Sequence[int], codes: Sequence[int]) -> None:
        """Take in codes, each with its document."""
        self._codes.append(codes)
        self._documents.append(documents)
        self._count += len(codes)

    def arrays(self) -> tuple[Integers, Integers]:
        """All codes, and the document of each."""
        codes, documents = (
            np.fromiter(chain.from_iterable(parts), dtype=np.int32, count=self._count)
            for parts in (self._codes, self._documents)
        )
        return codes, documents


class _Shape:
    """What is asked of documents whose payloads have the same fields: by field the column of its value, those of
    paths that lead into it, and those of fields of the event itself."""

    __slots__ = ("below", "columns", "own", "whole")

    def __init__(
        self,
        whole: Sequence[tuple[str, _Column]],
        below: Sequence[tuple[str, _Column, str | None]],
        own: Sequence[tuple[str, _Column]],
    ) -> None:
        self.whole = whole
        self.below = below
        self.own = own
        ends = [column for _, column in (*whole, *own)]
        self.columns = dict.fromkeys(ends + [column for _, column, _ in below])
        """All it may have values for."""

    def read(self, events: Sequence[DocumentEvent], documents: Sequence[int], found: _Found) -> None:
        """Put the values of documents of this shape into columns; what several values of a document meet is found
        at once."""
        payloads = [event.payload for event in events]
        for name, column in self.whole:
            column.add(documents, [payload[name] for payload in payloads])
        for name, column, inner in self.below:
            for at, payload in zip(documents, payloads, strict=True):
                if inner is None:
                    values = resolve(payload, column.index.path)
                elif type(value := payload[name]) is dict:
                    values = [value[inner]] if inner in value else []
                elif type(value) is list:
                    values = [item[inner] for item in value if type(item) is dict and inner in item]
                else:
                    continue
                if len(values) == 1:
                    column.add((at,), values)
                elif values:
                    found.add((at,), (column.index.several(values),))
        for name, column in self.own:
            for at, event in zip(documents, events, strict=True):
                if (own := own_field(event, name)) is not None:
                    column.add((at,), (own,))


def own_field(event: DocumentEvent, name: str) -> str | None:
    """A field of the event itself that its payload does not have, as ``DocumentEvent.root`` gives it."""
    if name == "occurred_at":
        return format_instant(event.occurred_at)
    value: str | None = getattr(event, name)
    return value
