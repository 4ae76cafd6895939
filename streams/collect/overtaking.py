"""Writes made from a version of a document, when another write came in between. Pure.

The system's own writes are whole documents, so one that was overtaken would undo what overtook it. Of such a write
only what it changed is taken; everything else stays as it stands. So neither a producer's write nor an enrichment
is lost, in whichever order they reach the log.
"""

from dataclasses import dataclass, replace

from schemas.events.document import DocumentEvent
from schemas.events.document_patch import DocumentPatch
from schemas.headers import SourcePosition
from streams.collect.arrivals import Arrival


@dataclass(frozen=True, slots=True)
class Standing:
    """A document and the record it stands at."""

    event: DocumentEvent
    position: SourcePosition

    @classmethod
    def of(cls, arrival: Arrival) -> "Standing":
        """As an arrival left it."""
        return cls(arrival.event, SourcePosition(arrival.partition, arrival.offset))


def settle(arrival: Arrival, standing: Standing | None) -> Arrival | None:
    """What a write made from a version means for the document as it stands; ``None``: nothing, as the document is
    gone or the write changed no field of it."""
    if standing is None:
        return None
    if standing.position == arrival.made_from:
        return arrival
    now, written = standing.event, arrival.event
    if not arrival.changed or not isinstance(now.payload, dict | None) or not isinstance(written.payload, dict):
        return None
    payload = dict(now.payload or {})
    text, asset_id = now.text, now.asset_id
    for name in arrival.changed:
        if name in written.payload:
            payload[name] = written.payload[name]
        elif name == "text":
            text = written.text
        elif name == "asset_id":
            asset_id = written.asset_id
    merged = replace(now, payload=payload, text=text, asset_id=asset_id, event_id=written.event_id)
    return replace(arrival, event=merged)


def patched(arrival: Arrival, patch: DocumentPatch, standing: Standing) -> DocumentEvent:
    """What a write that is a change makes of the document as it stands."""
    return replace(patch.apply(standing.event), event_id=arrival.event.event_id)
