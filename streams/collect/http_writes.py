"""What the records of writes over HTTP say beside their document. Pure."""

from datetime import datetime

from schemas.errors import DecodeError
from schemas.events.document_patch import DocumentPatch, parse_patch
from schemas.headers import PATCH, WRITTEN_AT, Headers, header
from schemas.times import parse_instant


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
