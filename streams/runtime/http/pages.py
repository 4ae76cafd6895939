"""Pagination of list endpoints (contract 1.7), styles A and B: parsing, bounds and envelopes."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

import orjson
import pybase64
from fastapi import Depends, Query, Request

from schemas.api.pages import CURSOR_PATTERN, CURSOR_PREFIX, LAST_PAGE, MOST_SKIPPED, ListRequest
from streams.runtime.http.errors import ApiError

_CURSOR: Final = re.compile(CURSOR_PATTERN)
# What is no cursor is a 400: the pattern only describes it.
CursorQuery = Annotated[str | None, Query(json_schema_extra={"pattern": CURSOR_PATTERN})]


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Style A, resolved: a cursor wins over an offset."""

    limit: int
    offset: int
    cursor: tuple[Any, ...] | None
    include_total: bool


def bad_cursor() -> ApiError:
    """404 for what looks like a cursor, and no page of this list ended there."""
    return ApiError(
        404, "The cursor is not one this server gave out for this list", details={"resource": "cursor"}
    )


def encode_cursor(values: tuple[Any, ...]) -> str:
    """An opaque cursor from the sort key of the last row given."""
    return CURSOR_PREFIX + pybase64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def decode_cursor(text: str) -> tuple[Any, ...]:
    """The sort key in a cursor. Raises 400 for what is none, 404 for one that was never given out."""
    if _CURSOR.fullmatch(text) is None:
        raise ApiError(400, "The cursor is not one this server gave out: send next_cursor as it was answered")
    text = text.removeprefix(CURSOR_PREFIX)
    try:
        values = orjson.loads(pybase64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError as error:
        raise bad_cursor() from error
    if not isinstance(values, list):
        raise bad_cursor()
    return tuple(values)


async def page_request(
    limit: Annotated[int | None, Query(ge=1, le=1000)] = None,
    page_size: Annotated[int | None, Query(ge=1, le=1000)] = None,
    offset: Annotated[int, Query(ge=0, le=MOST_SKIPPED)] = 0,
    page: Annotated[int | None, Query(ge=1, le=LAST_PAGE)] = None,
    cursor: CursorQuery = None,
    next_cursor: CursorQuery = None,
    after: CursorQuery = None,
    include_total: bool = False,
) -> PageRequest:
    """Style A from the query string."""
    # A coroutine: what is none FastAPI runs in a thread, and waits for it.
    size = limit or page_size or 50
    skip = (page - 1) * size if page is not None else offset
    if skip > MOST_SKIPPED:
        raise beyond()
    opaque = cursor or next_cursor or after
    return PageRequest(size, skip, decode_cursor(opaque) if opaque else None, include_total)


def beyond() -> ApiError:
    """404 for a page that no offset reaches."""
    return ApiError(
        404,
        f"The page lies beyond the first {MOST_SKIPPED} rows, all that pages by number reach; use the cursor",
        details={"resource": "page"},
    )


PageDep = Annotated[PageRequest, Depends(page_request)]


def page_of(request: Request, page: PageRequest, body: ListRequest) -> PageRequest:
    """The page asked for: a query parameter wins over its twin in the body."""
    named = request.query_params
    limit = page.limit if "limit" in named or "page_size" in named else body.limit or body.page_size or page.limit
    cursor, offset = page.cursor, page.offset
    if cursor is None and "offset" not in named and "page" not in named:
        opaque = body.cursor or body.next_cursor or body.after
        cursor = decode_cursor(opaque) if opaque else None
        offset = (body.page - 1) * limit if body.page is not None else body.offset
    elif "page" in named:
        # Counted in pages of the query's own size so far.
        offset = page.offset // page.limit * limit
    if offset > MOST_SKIPPED:
        raise beyond()
    return PageRequest(
        limit, offset, cursor, page.include_total if "include_total" in named else body.include_total
    )


def page_envelope(request: PageRequest, total: int, next_cursor: tuple[Any, ...] | None) -> dict[str, Any]:
    """``PaginationResponse``: all seven keys, ``total`` only when it was asked for."""
    positioned = request.cursor is None
    return {
        "total": total if request.include_total else None,
        "page": request.offset // request.limit + 1 if positioned else None,
        "page_size": request.limit,
        "total_pages": -(-total // request.limit) if request.include_total else None,
        "next_page": None,
        "previous_page": None,
        "next_cursor": None if next_cursor is None else encode_cursor(next_cursor),
    }
