"""What a batch channel copies: decided with the delivery, read back when it is made (contract 4.2). Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from schemas.events.alert_result import AlertHit, AlertResultRecord
from schemas.headers import with_cause


@dataclass(frozen=True, slots=True)
class Copy:
    """Documents to copy, and on account of what."""

    documents: tuple[tuple[str, str], ...]
    """Collection and document id."""
    partition: int | None
    """Where the document is to be found that the alert fired on: it may not have been collected yet."""
    offset: int
    causes: tuple[str, ...]
    """The alerts and triggers that the copies are an effect of, the alert itself last."""


def copy_body(record: AlertResultRecord, hit: AlertHit) -> bytes:
    """What to copy of an execution: the document it fired on; of a window or a sweep, which have none, the
    matches. Raises :class:`CauseDepthError`."""
    causes = with_cause(record.caused_by, hit.alert_id)
    own = (record.collection_id, record.document_id)
    documents = [own] if record.document_id else list(_matches(hit))
    arrived = bool(record.source_topic)
    return orjson.dumps(
        {
            "documents": documents,
            "partition": record.source_partition if arrived else None,
            "offset": record.source_offset,
            "causes": causes,
        }
    )


def read_copy(payload: bytes) -> Copy:
    """What :func:`copy_body` wrote."""
    raw: dict[str, Any] = orjson.loads(payload)
    documents = tuple((collection, document) for collection, document in raw["documents"])
    return Copy(documents, raw["partition"], raw["offset"], tuple(raw["causes"]))


def _matches(hit: AlertHit) -> Iterator[tuple[str, str]]:
    for match in () if hit.found is None else hit.found.matches:
        collection = (match.get("metadata") or {}).get("collection_id")
        if isinstance(collection, str) and isinstance(match.get("document_id"), str):
            yield collection, match["document_id"]
