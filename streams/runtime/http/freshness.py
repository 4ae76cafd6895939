"""Reads that wait for one's own write, and how far the view of results is behind.

``min_position`` (query, or the header ``X-Min-Position``) names writes (:mod:`schemas.write_token`); a read with
it is answered once they have been applied, or after a bounded wait 503 with ``Retry-After``. What nobody has
written yet is not waited for: 404.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import FastAPI, Header, Query, Request

from schemas.times import format_instant
from schemas.write_token import PATTERN, MinPosition, parse_min_position
from streams.runtime.freshness import Freshness
from streams.runtime.http.access import authenticate, context
from streams.runtime.http.application import held_by, one_of
from streams.runtime.http.errors import ApiError, come_again, not_found
from streams.runtime.http.guard import answer_header
from streams.runtime.http.headers import APPLIED_AT, MIN_POSITION

_RETRY_AFTER_SECONDS: Final = 2
_MAX_LENGTH: Final = 4_096

_NAMED = "Answer once these writes are applied: tokens of `X-Write-Token`, or `partition:offset` in `documents`"
# What is no position is a 400: the pattern only describes it.
_DESCRIBED: Final[dict[str, Any]] = {"json_schema_extra": {"pattern": PATTERN}, "description": _NAMED}
QueryPosition = Annotated[str | None, Query(alias="min_position", max_length=_MAX_LENGTH, **_DESCRIBED)]
HeaderPosition = Annotated[str | None, Header(alias=MIN_POSITION, max_length=_MAX_LENGTH, **_DESCRIBED)]


def freshness(request: Request) -> Freshness:
    """The one of the application."""
    return one_of(request.app, Freshness, lambda: Freshness(context(request)))


async def close_freshness(app: FastAPI) -> None:
    """Give back what answering took."""
    if (found := held_by(app, Freshness)) is not None:
        await found.close()


def wanted_position(text: str) -> MinPosition:
    """What a caller wants to be applied. Raises 400."""
    try:
        return parse_min_position(text)
    except ValueError as error:
        raise ApiError(400, f"min_position: {error}") from error


async def fresh_documents(
    request: Request, min_position: QueryPosition = None, x_min_position: HeaderPosition = None
) -> None:
    """A dependency of routes that read documents: waits until the writes named are collected."""
    await _wait(request, min_position or x_min_position, freshness(request).collected)


async def fresh_results(
    request: Request, min_position: QueryPosition = None, x_min_position: HeaderPosition = None
) -> None:
    """A dependency of routes that read results: waits until those of the writes named are in the view, and says
    how far the view has come."""
    await _wait(request, min_position or x_min_position, freshness(request).viewed)
    await authenticate(request)
    # Found out before the view is read: what is read may be newer, never older.
    answer_header(request, APPLIED_AT, format_instant(await freshness(request).applied_through()))


async def await_documents(request: Request, token: str) -> None:
    """Wait until a write is collected that a request names in its body. Raises 400, 404 and 503."""
    await _wait(request, token, freshness(request).collected)


async def _wait(
    request: Request, text: str | None, applied: Callable[[MinPosition, float], Awaitable[bool]]
) -> None:
    if not text:
        return
    await authenticate(request)
    seconds = context(request).settings.read_wait_seconds
    wanted = wanted_position(text)
    if (missing := await freshness(request).unwritten(wanted)) is not None:
        raise not_found("position", missing)
    if not await applied(wanted, seconds):
        raise come_again(
            f"What min_position names was not applied within {seconds:g} seconds; try again", _RETRY_AFTER_SECONDS
        )
