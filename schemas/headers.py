"""Record headers: what they are called, and the two that carry structure.

aiokafka gives headers as a sequence of ``(name, bytes)``; they travel as a list.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import orjson

from schemas.errors import DecodeError

Headers = Iterable[tuple[str, bytes]]
_MAX_DIGITS: Final = 18

DEFINITIONS_VERSION: Final = "x-definitions-version"
"""``epoch:n``, the definitions version the writer saw; match evaluates the event no earlier."""
CAUSED_BY: Final = "x-caused-by"
"""Comma-separated chain of the alert and trigger ids whose effect this write is, oldest first."""
WATERMARK: Final = "x-watermark"
"""ISO 8601 instant: everything of this source that occurred before it was acknowledged before this record
was sent. Lets event time advance exactly where a producer keeps several records in flight."""
LATE: Final = "x-late"
"""ISO 8601 instant, only on a document that is late in its source: how far the source had come before it. It is
the order of the source that says so, so every replay of the source says the same, however fast it is."""
SOURCE_POSITION: Final = "x-source-position"
"""On ``references``: ``partition:offset`` of the record of ``documents`` this version of the document is from.
On ``documents``: of the version that this write was made from. Where another write of the document came in
between, only what :data:`CHANGED` names is taken from it."""
CHANGED: Final = "x-changed"
"""Beside :data:`SOURCE_POSITION` on ``documents``: a JSON list of the root fields that the write changed."""
SEQ: Final = "x-seq"
"""On ``documents``: the number of a write over HTTP. Of two writes of a document the later has the higher."""
WRITTEN_AT: Final = "x-written-at"
"""Beside :data:`SEQ`: the ISO 8601 instant that a document the write adds is told to be created at."""
PATCH: Final = "x-patch"
"""Beside :data:`SEQ`: the change that the write is (``schemas.events.document_patch``). The value is the whole
document as the writer knew it; where another write of it came in between, only the change counts."""
PRODUCER: Final = "x-producer"
"""A name of the producer, for whoever reads its dead letters; optional."""

MAX_CAUSE_DEPTH: Final = 4
"""Causes a write may have. A longer chain is a loop of alerts and triggers that set each other off."""


class CauseDepthError(ValueError):
    """A write that would have more causes than :data:`MAX_CAUSE_DEPTH`: alerts and triggers set each other off.
    The message says which, and what to do."""


def header(headers: Headers, name: str) -> str | None:
    """The last value of a header as text, ``None`` when absent. Raises :class:`DecodeError` on bad UTF-8."""
    found = None
    for key, value in headers:
        if key == name:
            found = value
    if found is None:
        return None
    try:
        return found.decode()
    except UnicodeDecodeError as error:
        raise DecodeError(f"header {name} is not UTF-8") from error


def _whole(text: str) -> bool:
    """Whether it is a whole number in digits, as large as offsets and versions can be: Python refuses to read one
    of thousands of digits."""
    return len(text) <= _MAX_DIGITS and text.isascii() and text.isdigit()


@dataclass(frozen=True, slots=True, order=True)
class DefinitionsVersion:
    """A point in the history of definitions: the stream epoch and the number of the write."""

    epoch: str
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.number}"

    @classmethod
    def parse(cls, text: str) -> "DefinitionsVersion":
        """Read ``epoch:n``. Raises :class:`DecodeError`."""
        epoch, colon, number = text.rpartition(":")
        if not colon or not epoch or not _whole(number):
            raise DecodeError(f"header {DEFINITIONS_VERSION} must be 'epoch:number', not {text[:80]!r}")
        return cls(epoch, int(number))


def parse_causes(text: str | None) -> tuple[str, ...]:
    """The chain of causes of a write, oldest first; empty for a producer's own write. Raises
    :class:`DecodeError` for more than :data:`MAX_CAUSE_DEPTH`."""
    causes = tuple(part for part in (text or "").split(",") if part)
    if len(causes) > MAX_CAUSE_DEPTH:
        raise DecodeError(f"header {CAUSED_BY} names {len(causes)} causes, allowed are {MAX_CAUSE_DEPTH}")
    return causes


def with_cause(causes: tuple[str, ...], own: str) -> tuple[str, ...]:
    """The chain of causes of what the alert or trigger ``own`` writes on account of a write with ``causes``.
    Raises :class:`CauseDepthError`."""
    if own in causes:
        return causes
    if len(causes) >= MAX_CAUSE_DEPTH:
        raise CauseDepthError(
            f"{' → '.join(causes)} → {own}: a write may have {MAX_CAUSE_DEPTH} causes at most, so nothing was"
            " written; these alerts and triggers set each other off: let one of them watch another collection,"
            " or narrow its filters"
        )
    return (*causes, own)


def parse_changed(text: str | None) -> tuple[str, ...]:
    """The fields a write changed. Raises :class:`DecodeError`."""
    if text is None:
        return ()
    try:
        raw = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"header {CHANGED} is not JSON") from error
    if not isinstance(raw, list) or not all(isinstance(name, str) for name in raw):
        raise DecodeError(f"header {CHANGED} must be a list of field names")
    return tuple(raw)


def format_changed(names: Iterable[str]) -> str:
    """The value of the header, as :func:`parse_changed` reads it."""
    return orjson.dumps(list(names)).decode()


def format_causes(causes: Iterable[str]) -> str:
    """The value of the header, as :func:`parse_causes` reads it."""
    return ",".join(causes)


def parse_seq(text: str) -> int:
    """The number of a write over HTTP. Raises :class:`DecodeError`."""
    if not _whole(text):
        raise DecodeError(f"header {SEQ} must be a whole number, not {text[:80]!r}")
    return int(text)


@dataclass(frozen=True, slots=True)
class SourcePosition:
    """Where in ``documents`` a version of a document is from."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str | None) -> "SourcePosition":
        """Read ``partition:offset``. Raises :class:`DecodeError`."""
        parts = (text or "").split(":")
        if len(parts) != 2 or not all(map(_whole, parts)):
            raise DecodeError(f"header {SOURCE_POSITION} must be 'partition:offset', not {(text or '')[:80]!r}")
        return cls(int(parts[0]), int(parts[1]))
