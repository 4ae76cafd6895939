"""What a batch of documents is to webhooks (contract 7). Pure."""

from collections.abc import Collection as Wanted
from collections.abc import Iterable, Mapping
from typing import Final

from schemas.events.happening import EventType, Happening
from streams.collect.arrivals import Collection
from streams.collect.fold import Change, ChangeKind

NAMED: Final = 1_000
"""How many documents an event about several names; all are counted."""

_ONE: Final[Mapping[ChangeKind, EventType]] = {
    "documents_added": "document.created",
    "documents_updated": "document.updated",
    "documents_deleted": "document.deleted",
}
_SEVERAL: Final[Mapping[ChangeKind, EventType]] = {
    "documents_updated": "documents.updated.batch",
    "documents_deleted": "documents.deleted.batch",
}
_WRITTEN: Final[EventType] = "collection.documents.written"
TYPES: Final[tuple[EventType, ...]] = (*_ONE.values(), *_SEVERAL.values(), _WRITTEN)


def happenings(changes: Iterable[Change], wanted: Wanted[EventType]) -> list[Happening]:
    """Of the ``wanted`` types: each change, and per collection what was updated, deleted and written."""
    told: list[Happening] = []
    several: dict[tuple[EventType, Collection], dict[str, None]] = {}
    for change in changes:
        (namespace_id, collection_id), document_id = change.arrival.collection, change.arrival.event.document_id
        if (kind := _ONE[change.kind]) in wanted:
            about = {"collection_id": collection_id, "document_id": document_id}
            told.append(Happening(kind, namespace_id, document_id, about))
        written = _WRITTEN if change.kind != "documents_deleted" else None
        summed: tuple[EventType | None, ...] = (_SEVERAL.get(change.kind), written)
        for summary in summed:
            if summary is not None and summary in wanted:
                several.setdefault((summary, change.arrival.collection), {})[document_id] = None
    for (summary, (namespace_id, collection_id)), ids in several.items():
        metadata: dict[str, object] = {
            "collection_id": collection_id,
            "document_count": len(ids),
            "document_ids": list(ids)[:NAMED],
            "index_signature": None,
        }
        told.append(Happening(summary, namespace_id, collection_id, metadata))
    return told
