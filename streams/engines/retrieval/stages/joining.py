"""How fields of one document come into another: for the stages that enrich (contract section 6)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.stages.values import nest, number, put, value, values

_OWN: Final = ("occurred_at", "_internal")


def picked(other: Row, paths: Sequence[str] | None) -> dict[str, Any]:
    """The fields of a document at these paths, nested as there; the whole document, ids and score included, for
    ``None``. What it does not have is left out."""
    if paths is None:
        return other.root()
    fields: dict[str, Any] = {}
    for path in paths:
        found = values(other, path)
        if found:
            fields = nest(fields, path, found[0] if len(found) == 1 else found)
    return fields


def joined(row: Row, other: Row, paths: Sequence[str] | None) -> Row:
    """The row with fields of another at its root, over those it has. What tells which document it is and when it
    came (ids, score, ``occurred_at``, ``_internal``) stays, unless listed."""
    if paths is None:
        theirs = {name: found for name, found in other.fields.items() if name not in _OWN}
        return replace(row, fields={**row.fields, **theirs})
    for path in paths:
        found = values(other, path)
        if not found:
            continue
        one = found[0] if len(found) == 1 else found
        if path == "document_id":
            row = replace(row, document_id=other.document_id)
        elif path == "collection_id":
            row = replace(row, collection_id=other.collection_id)
        elif path == "score":
            row = replace(row, score=number(one))
        else:
            row = put(row, path, one)
    return row


def appended(row: Row, path: str, items: Sequence[Any]) -> Row:
    """The row with items added to the list at a path; what stands there and is no list becomes its first item."""
    there = value(row, path)
    before = there if isinstance(there, list) else [] if there is None else [there]
    return put(row, path, [*before, *items])
