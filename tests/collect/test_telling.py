"""What a batch of documents is to webhooks."""

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.events.document import DocumentEvent
from schemas.events.happening import EventType
from streams.collect.arrivals import Arrival
from streams.collect.fold import Change, ChangeKind
from streams.collect.telling import TYPES, happenings

AT = datetime(2026, 3, 1, tzinfo=UTC)


def change(kind: ChangeKind, document_id: str, collection_id: str = "col_1") -> Change:
    event = DocumentEvent("document.upserted", "ns_1", collection_id, document_id, AT)
    return Change(kind, Arrival(event=event, partition=0, offset=0, appended_at=AT), AT)


CHANGES = [
    change("documents_added", "a"),
    change("documents_updated", "a"),
    change("documents_added", "b"),
    change("documents_deleted", "b"),
    change("documents_updated", "c", "col_2"),
]


@pytest.mark.parametrize(
    ("kind", "subjects"),
    [
        ("document.created", ["a", "b"]),
        ("document.updated", ["a", "c"]),
        ("document.deleted", ["b"]),
        ("documents.updated.batch", ["col_1", "col_2"]),
        ("documents.deleted.batch", ["col_1"]),
        ("collection.documents.written", ["col_1", "col_2"]),
    ],
)
def test_each_type_is_told_of_what_it_is_about(kind: EventType, subjects: list[str]) -> None:
    told = happenings(CHANGES, {kind})
    assert [item.subject_id for item in told] == subjects
    assert {(item.type, item.namespace_id) for item in told} == {(kind, "ns_1")}


def test_an_event_about_several_counts_each_document_once() -> None:
    told = [item for item in happenings(CHANGES, set(TYPES)) if item.type == "collection.documents.written"]
    metadata: Any = told[0].metadata
    assert (metadata["document_count"], metadata["document_ids"]) == (2, ["a", "b"])
    assert happenings(CHANGES, set()) == []
