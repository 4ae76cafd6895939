"""Outbox rows: what they hold, and what becomes of one that can never be published. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas.events.dead_letter import DeadLetter
from schemas.topics import TOPICS, Topic

STAGE: Final = "relay"
KEPT_BYTES: Final = (65_536, 0)
"""How much of a value its dead letter keeps, by attempt: the dead-letter topic has a size limit as well."""

_TOPICS: Final[Mapping[str, Topic]] = {topic.name: topic for topic in TOPICS}


class UnknownTopicError(RuntimeError):
    """A row is for a topic this version does not know: it was written by a newer one. Publishing around it
    would lose its place in the order, so the process ends."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One record waiting to be published."""

    id: int
    topic: Topic
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    created_at: datetime


def outbox_row(
    number: int,
    topic: str,
    key: bytes | None,
    value: bytes | None,
    headers: list[list[str]],
    created_at: datetime,
) -> OutboxRow:
    """A row from its columns. Raises :class:`UnknownTopicError`."""
    if topic not in _TOPICS:
        raise UnknownTopicError(
            f"outbox row {number} is for topic {topic!r}, which this version does not know; run the newer version"
        )
    pairs = [(name, text.encode()) for name, text in headers]
    return OutboxRow(number, _TOPICS[topic], key, value, pairs, created_at)


def dead_letter(row: OutboxRow, error: BaseException, kept_bytes: int) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Value and headers of the dead letter of a row that no broker setting lets through.

    The row never had a place in a log: ``x-dead-partition`` is -1 and ``x-dead-offset`` is the row's id. The
    value is cut to ``kept_bytes``, since whole it would be refused again; ``x-dead-size`` and
    ``x-dead-sha256`` say what it was.
    """
    value = row.value or b""
    letter = DeadLetter(
        topic=row.topic.name,
        partition=-1,
        offset=row.id,
        timestamp=row.created_at,
        stage=STAGE,
        error_type=type(error).__name__,
        message=str(error),
    )
    story: dict[str, Any] = {
        "x-dead-size": len(value),
        "x-dead-sha256": hashlib.sha256(value).hexdigest(),
        "x-dead-cut": len(value) > kept_bytes,
    }
    extra = [(name, str(fact).lower().encode()) for name, fact in story.items()]
    return value[:kept_bytes], [*letter.headers(tuple(row.headers)), *extra]
