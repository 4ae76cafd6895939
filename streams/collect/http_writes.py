"""What the records of writes over HTTP say beside their document. Pure."""

from datetime import datetime

from schemas.errors import DecodeError
from schemas.events.document import split_key
from schemas.events.document_patch import DocumentPatch, parse_patch
from schemas.headers import PATCH, SEQ, WRITTEN_AT, Headers, header, parse_seq
from schemas.times import parse_instant
from streams.runtime.document_writes import Settled


def settled_by(key: bytes | None, headers: Headers) -> Settled | None:
    """The write over HTTP that a record is, also one that can never be stored."""
    try:
        seq = header(headers, SEQ)
        return None if seq is None else Settled(*split_key(key), parse_seq(seq))
    except DecodeError:
        # Not the API's, then.
        return None


def patch_of(headers: Headers) -> DocumentPatch | None:
    """The change that a write is; ``None`` where it is a whole document. Raises :class:`DecodeError`."""
    text = header(headers, PATCH)
    return None if text is None else parse_patch(text)


def written_at(headers: Headers) -> datetime | None:
    """When a document that the write adds is told to be created."""
    try:
        text = header(headers, WRITTEN_AT)
        return None if text is None else parse_instant(text)
    except (DecodeError, ValueError, OverflowError):
        # It only orders lists: the record's append time does as well.
        return None
