"""Between documents, rows and what the API shows of them."""

import re
from typing import Any, Final

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.filters.paths import resolve
from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.stages.values import path_of
from streams.engines.retrieval.vectors.embedder import HashingEmbedder, document_text
from streams.engines.retrieval.vectors.features import resolve_feature

_IDS: Final = ("document_id", "collection_id")
_BRACKETS: Final = re.compile(r"\[(?:'([^']*)'|\"([^\"]*)\"|(\d+)|\*)\]")
_FEATURES: Final = ("features.", "vectors.")


def row_of(event: DocumentEvent) -> Row:
    """A document as a row without a score."""
    fields = {name: value for name, value in event.root().items() if name not in _IDS}
    return Row(event.document_id, event.collection_id, fields, None, event.features)


def shown(row: Row) -> dict[str, Any]:
    """A row as execution results carry it (contract, section 8, line 33): user fields at the root, ``metadata``
    among them, and once more under ``payload``."""
    payload = row.fields.get("payload")
    mirror = row.fields if payload is None else payload
    return {**row.root(), "score": row.score, "payload": mirror}


def value_at(path: str, event: DocumentEvent) -> Any:
    """What an ``input_mappings`` path leads to in a document (contract 4.3): a vector by short name, full index
    name or feature URI (also below ``features.``), else a field by dot path or JSON path; the first of several
    unless the path asks for all with ``[*]``. ``None`` where there is nothing."""
    dotted = _dotted(path)
    for name in (path, dotted, *(dotted.removeprefix(head) for head in _FEATURES if dotted.startswith(head))):
        found = resolve_feature(name, event.features)
        if found is not None:
            return event.features[found].tolist()
        if name == HashingEmbedder.URI:
            return HashingEmbedder().embed([document_text(event.text, event.payload)])[0].tolist()
    try:
        parsed = path_of(dotted)
    except ValueError:
        return None
    values = resolve(event.root(), parsed)
    if "[*]" in path:
        return values or None
    return values[0] if values else None


def _dotted(path: str) -> str:
    """``$.a['b'][0]`` as ``a.b.0``; ``[*]`` fans out as a list of objects does by itself."""

    def step(found: re.Match[str]) -> str:
        name = next((group for group in found.groups() if group is not None), "")
        return f".{name}" if name else ""

    return _BRACKETS.sub(step, path.removeprefix("$")).removeprefix(".")
