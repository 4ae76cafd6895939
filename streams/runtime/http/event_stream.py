"""What every answer of server-sent events is sent as."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from pydantic import BaseModel
from starlette.responses import StreamingResponse

from schemas.api.base import SHAPE

MEDIA_TYPE: Final = "text/event-stream"
# nginx holds answers back until they are whole, unless it is told.
_HEADERS: Final[Mapping[str, str]] = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def event_stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    """An answer whose events are sent as they come."""
    return StreamingResponse(events, media_type=MEDIA_TYPE, headers=_HEADERS)


def streamed(event: type[BaseModel] | None, example: str) -> dict[int | str, dict[str, Any]]:
    """For a route: that it may also, or only, answer with events. ``example`` is what is sent; ``event`` the model
    of their data."""
    data: dict[str, Any] = {"type": "string", "contentMediaType": "application/json"}
    if event is not None:
        data["contentSchema"] = {SHAPE: event.__name__}
    schema = {"type": "object", "properties": {"data": data}}
    return {200: {"content": {MEDIA_TYPE: {"schema": schema, "example": example}}}}
