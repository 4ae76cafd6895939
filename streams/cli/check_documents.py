"""Lines of a file as documents, for ``tidewatch check`` and ``tidewatch explain``. Pure."""

from datetime import datetime
from typing import Final

from schemas.errors import DecodeError
from schemas.events.document import DocumentEvent, decode_document_event
from schemas.events.plain import read_plain
from schemas.strict_json import read_object

_OURS: Final = b'{"type":"document.upserted",'
"""How this project writes an event."""


def read_document(line: bytes, number: int, now: datetime) -> DocumentEvent | None:
    """The document of a line (``schemas/events/plain.py`` says what an object is), named by the line's ``number``
    where it does not say how it is called. Raises :class:`DecodeError`."""
    if line.startswith(_OURS):
        try:
            return decode_document_event(None, line, (), appended_at=now)
        except DecodeError:
            pass  # it may leave something out, or go on with another type
    return read_plain(read_object(line, "a document"), str(number), now)
