"""The fields that requirements are on, and the walk over a document that visits only those."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.events.document import DocumentEvent
from schemas.times import format_instant
from streams.engines.retrieval.filters.paths import Path, resolve
from streams.engines.retrieval.percolate.field_index import NOTHING, FieldIndex
from streams.engines.retrieval.percolate.growing import Integers
from streams.engines.retrieval.percolate.normal import Requirement

_MISSING: Final = object()
_PAYLOAD: Final = "payload"


class Fields:
    """Paths → their indexes, ordered by the root field where a path begins."""

    def __init__(self, number_of: Callable[[Requirement], int]) -> None:
        self._number_of = number_of
        self._indexes: dict[Path, FieldIndex] = {}
        self._whole: dict[str, FieldIndex] = {}
        """Root field → the index of the path that is just it, dots and all."""
        self._below: dict[str, list[tuple[FieldIndex, str | None]]] = {}
        """Root field → indexes of paths that lead into it, with the field below where there is just one more."""
        self._dotted: set[str] = set()
        """Root fields that hold dots themselves and begin a path: their documents are walked by the book."""

    def index(self, path: Path) -> FieldIndex:
        """The index of a path."""
        found = self._indexes.get(path)
        if found is None:
            found = self._indexes[path] = FieldIndex(path, self._number_of)
            self._whole[path.text] = found
            first, *rest = path.text.split(".")
            if rest:
                single = rest[0] if len(rest) == 1 and not rest[0].isdigit() else None
                self._below.setdefault(first, []).append((found, single))
                self._dotted.update(".".join([first, *rest[:end]]) for end in range(1, len(rest)))
        return found

    def met(self, event: DocumentEvent, found: list[Integers]) -> None:
        """Append the requirements that a document meets, in any order; one may come twice."""
        payload = event.payload
        if type(payload) is not dict or _PAYLOAD in payload:
            self._by_the_book(event.root(), found)
            return
        if self._dotted and not self._dotted.isdisjoint(payload):
            self._by_the_book(event.root(), found)
            return
        whole, below = self._whole, self._below
        for name, value in payload.items():
            index = whole.get(name)
            if index is not None:
                met = index.strings.get(value) if type(value) is str else None
                if met is None:
                    met = index.one(value)
                if met is not NOTHING:
                    found.append(met)
            inside = below.get(name)
            if inside is not None:
                self._walk(payload, value, inside, found)
        for name in _OWN:
            if name not in payload and ((index := whole.get(name)) is not None or name in below):
                value = own_field(event, name)
                if value is not None and index is not None:
                    found.append(index.one(value))

    def _walk(
        self,
        payload: Mapping[str, Any],
        value: Any,
        inside: list[tuple[FieldIndex, str | None]],
        found: list[Integers],
    ) -> None:
        """Into one root field."""
        kind = type(value)
        for index, name in inside:
            if index.path.text in payload:
                # The literal name comes first.
                continue
            if name is None:
                values = resolve(payload, index.path)
                if values:
                    found.append(index.several(values) if len(values) > 1 else index.one(values[0]))
            elif kind is dict:
                single = value.get(name, _MISSING)
                if single is not _MISSING:
                    found.append(index.one(single))
            elif kind is list:
                values = [item[name] for item in value if type(item) is dict and name in item]
                if values:
                    found.append(index.several(values) if len(values) > 1 else index.one(values[0]))

    def _by_the_book(self, root: Mapping[str, Any], found: list[Integers]) -> None:
        for path, index in self._indexes.items():
            values = resolve(root, path)
            if values:
                found.append(index.several(values) if len(values) > 1 else index.one(values[0]))


_OWN: Final = ("document_id", "collection_id", "occurred_at", "text", "asset_id")


def own_field(event: DocumentEvent, name: str) -> str | None:
    """A field of the event itself that its payload does not have, as ``DocumentEvent.root`` gives it."""
    if name == "occurred_at":
        return format_instant(event.occurred_at)
    value: str | None = getattr(event, name)
    return value
