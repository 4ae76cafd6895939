"""What every answer of server-sent events is sent as."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

from starlette.responses import StreamingResponse

MEDIA_TYPE: Final = "text/event-stream"
# nginx holds answers back until they are whole, unless it is told.
_HEADERS: Final[Mapping[str, str]] = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def event_stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    """An answer whose events are sent as they come."""
    return StreamingResponse(events, media_type=MEDIA_TYPE, headers=_HEADERS)
