"""What random choices of a standing alert follow from."""

from collections.abc import Mapping
from typing import Any

from schemas.events.document import DocumentEvent


def seed_of(document: DocumentEvent, alert: Mapping[str, Any]) -> str:
    """The seed of an alert's stages on a document; ``alert`` is its body. The same wherever and however often the
    document is checked: in match, in an explanation, and when a record is read again. An alert that is not stored
    yet has no id, but a name."""
    return f"{document.key.decode()}/{alert.get('alert_id') or alert.get('name') or ''}"
