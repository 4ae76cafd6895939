"""Pages of a result (contract 1.7 style D, 4.6). Pure.

Nothing is kept between pages: the retriever runs again, with the time and the seed of the first page, and the page
is cut from what it finds, behind the document that the page before ended with: documents that came or went in
front of it move nothing. A cursor belongs to the question it came from and is refused with another one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from schemas.api.execution import CursorPage, KeysetPage, OffsetPage, PageOf, ScrollPage
from schemas.times import format_instant, parse_instant
from streams.engines.retrieval.stages.stage import Row
from streams.runtime.http.errors import ApiError
from streams.runtime.http.pages import bad_cursor, decode_cursor, encode_cursor


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins, and what makes its result that of the first page."""

    digest: str
    """Of the question."""
    seed: str
    now: datetime
    offset: int = 0
    after: Mapping[str, Any] | None = None


def digest_of(*question: Any) -> str:
    """The same text for the same question."""
    written = orjson.dumps(question, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
    return hashlib.blake2b(written, digest_size=9).hexdigest()


def place(page: PageOf, digest: str, seed: str, now: datetime) -> Place:
    """Where ``page`` begins; ``seed`` and ``now`` are those of a first page. Raises 400 for what is no cursor and
    404 for one that is not of this question, or has ended."""
    match page:
        case OffsetPage():
            # Pages have nothing in common but the question: so it decides what is chosen at random.
            return Place(digest, digest, now, (page.page_number - 1) * page.page_size)
        case CursorPage(cursor=str(text)) if text:
            return _continued(text, digest, now)
        case ScrollPage(scroll_id=str(text)) if text:
            return _continued(text, digest, now)
        case KeysetPage(after=dict(after)):
            known = _text(after, "seed"), _text(after, "now"), digest
            return Place(digest, known[0], _instant(known[1]), _offset(after.get("offset")), after)
        case _:
            return Place(digest, seed, now)


def _continued(text: str, digest: str, now: datetime) -> Place:
    match decode_cursor(text):
        case (str(known), str(seed), str(first), int(offset), (str() | None) as ends, str(of), str(last)):
            if known != digest:
                raise _gone("The cursor belongs to another question; begin again without it")
            if ends is not None and _instant(ends) < now:
                raise _gone("The scroll has ended; begin again without scroll_id")
            after = {"collection_id": of, "document_id": last}
            return Place(digest, seed, _instant(first), _offset(offset), after)
    raise bad_cursor()


def _text(after: Mapping[str, Any], name: str) -> str:
    found = after.get(name)
    if not isinstance(found, str):
        raise ApiError(400, f"after must be the object this server gave out: it lacks {name!r}")
    return found


def _gone(message: str) -> ApiError:
    return ApiError(404, message, details={"resource": "cursor"})


def _instant(text: str) -> datetime:
    try:
        return parse_instant(text)
    except (ValueError, OverflowError) as error:
        raise bad_cursor() from error


def _offset(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise bad_cursor()
    return value


def cut(rows: Sequence[Row], page: PageOf, place: Place, now: datetime) -> tuple[list[Row], dict[str, Any]]:
    """The rows of a page, and the ``pagination`` that describes it; ``total`` is of the whole result."""
    start = place.offset if place.after is None else _behind(rows, place.after, place.offset)
    shown = list(rows[start : start + page.size])
    end = start + len(shown)
    more = end < len(rows)
    common = {"method": page.method, "returned": len(shown), "total": len(rows), "has_next": more}
    described: dict[str, Any]
    match page:
        case OffsetPage():
            described = {
                "page_number": page.page_number,
                "page_size": page.page_size,
                "limit": page.page_size,
                "offset": start,
                "has_previous": start > 0,
            }
        case CursorPage():
            described = {
                "limit": page.limit,
                "page_size": page.limit,
                "cursor": _next(place, shown[-1], end) if more else None,
            }
        case ScrollPage():
            ends = format_instant(now + timedelta(seconds=page.scroll_ttl))
            described = {"limit": page.limit, "scroll_id": _next(place, shown[-1], end, ends) if more else None}
        case KeysetPage():
            after = _after(place, shown[-1], end) if more else None
            described = {"limit": page.limit, "after": after, "next_cursor": after}
    return shown, {**common, **described}


def _next(place: Place, last: Row, offset: int, ends: str | None = None) -> str:
    ids = last.collection_id, last.document_id
    return encode_cursor((place.digest, place.seed, format_instant(place.now), offset, ends, *ids))


def _after(place: Place, last: Row, offset: int) -> dict[str, Any]:
    return {
        "collection_id": last.collection_id,
        "document_id": last.document_id,
        "score": last.score,
        "offset": offset,
        "seed": place.seed,
        "now": format_instant(place.now),
    }


def _behind(rows: Sequence[Row], after: Mapping[str, Any], offset: int) -> int:
    """The index behind the row a page ended with: documents that came or went before it move nothing. Of several
    rows of one document the nearest to where it was; where it is gone, the place it had."""
    ids = after.get("collection_id"), after.get("document_id")
    at = [index for index, row in enumerate(rows) if (row.collection_id, row.document_id) == ids]
    if not at:
        return max(0, offset - 1)
    return min(at, key=lambda index: abs(index - (offset - 1))) + 1
