"""One record of ``documents`` as match takes it in. Pure."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from schemas.events.document import DocumentEvent, decode_document_event
from schemas.headers import CAUSED_BY, Headers, header, parse_causes
from schemas.times import from_millis

# Many records of a batch were appended in the same millisecond.
_instant = lru_cache(1_024)(from_millis)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A document event and where and when it arrived."""

    topic: str
    partition: int
    offset: int
    appended_at: datetime
    event: DocumentEvent
    causes: tuple[str, ...] = ()
    """Ids of the alerts and triggers whose effect this write is: they never fire on it."""


def read_arrival(
    topic: str,
    partition: int,
    offset: int,
    timestamp: int,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
) -> Arrival:
    """Read one record; ``timestamp`` in milliseconds. Raises :class:`DecodeError`."""
    appended_at = _instant(timestamp)
    event = decode_document_event(key, value, headers, appended_at=appended_at)
    if not headers:
        return Arrival(topic, partition, offset, appended_at, event)
    return Arrival(topic, partition, offset, appended_at, event, parse_causes(header(headers, CAUSED_BY)))
