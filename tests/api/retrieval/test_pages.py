"""Pages follow one another without a gap, whatever their size; a cursor of anything else is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.api.execution import CursorPage, KeysetPage, OffsetPage, PageOf, ScrollPage
from schemas.api.pages import CURSOR_PREFIX
from streams.api.retrieval.pages import Place, cut, digest_of, place
from streams.engines.retrieval.stages.stage import Row
from streams.runtime.http.errors import ApiError
from streams.runtime.http.pages import encode_cursor

NOW = datetime(2024, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)
LATER = NOW + timedelta(seconds=59)
DIGEST = digest_of("ret_1", {"q": 1})


def rows(*ids: str) -> list[Row]:
    return [Row(one, "news", {"part": at}, 1.0 - at / 1000) for at, one in enumerate(ids)]


def following(page: PageOf, told: dict[str, Any]) -> PageOf | None:
    """What a caller asks next."""
    if not told["has_next"]:
        return None
    match page:
        case OffsetPage():
            return OffsetPage(page_size=page.page_size, page_number=page.page_number + 1)
        case CursorPage():
            return CursorPage(limit=page.limit, cursor=told["cursor"])
        case ScrollPage():
            return ScrollPage(limit=page.limit, scroll_id=told["scroll_id"])
        case KeysetPage():
            # As it comes back in a body.
            return KeysetPage(limit=page.limit, after=orjson.loads(orjson.dumps(told["after"])))


def first_pages(size: int) -> list[PageOf]:
    return [OffsetPage(page_size=size), CursorPage(limit=size), ScrollPage(limit=size), KeysetPage(limit=size)]


@given(st.lists(st.sampled_from("abc") | st.text(max_size=3), max_size=30), st.integers(1, 12))
def test_pages_in_their_order_are_the_whole(ids: list[str], size: int) -> None:
    found = rows(*ids)
    for first in first_pages(size):
        page: PageOf | None = first
        seen: list[Row] = []
        pages = 0
        while page is not None:
            # The time of a later page and what it would choose by are not those of the first.
            where = place(page, DIGEST, f"seed {pages}", NOW + timedelta(seconds=pages))
            if not isinstance(page, OffsetPage):
                assert (where.seed, where.now) == ("seed 0", NOW)
            shown, told = cut(found, page, where, NOW)
            assert told["returned"] == len(shown) <= told["limit"] == size
            assert (told["total"], told["method"]) == (len(found), first.method)
            seen += shown
            pages += 1
            page = following(page, told)
        assert all(left is right for left, right in zip(seen, found, strict=True))
        assert pages == max(1, -(-len(found) // size))


def test_of_numbered_pages_the_question_decides_what_is_chosen() -> None:
    where = place(OffsetPage(page_number=3, page_size=7), DIGEST, "seed", NOW)
    assert where == Place(DIGEST, DIGEST, NOW, 14)
    shown, told = cut(rows(*"abc"), OffsetPage(page_number=3, page_size=7), where, NOW)
    assert (shown, told["has_previous"], told["has_next"], told["offset"]) == ([], True, False, 14)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ("abcdef", "cd"),
        # Documents that came before the last one seen, or went.
        ("xyabcdef", "cd"),
        ("bcdef", "cd"),
        # It is gone itself: the place it had.
        ("acdef", "cd"),
        # It stands elsewhere now.
        ("acdebf", "f"),
        ("ab", ""),
        ("", ""),
    ],
)
def test_a_page_behind_a_document_follows_it(left: str, expected: str) -> None:
    for page in (KeysetPage(limit=2), CursorPage(limit=2), ScrollPage(limit=2)):
        _, told = cut(rows(*"abcdef"), page, place(page, DIGEST, "seed", NOW), NOW)
        if isinstance(page, KeysetPage):
            assert (told["after"]["document_id"], told["after"]["offset"]) == ("b", 2)
            assert told["next_cursor"] == told["after"]
        again = following(page, told)
        assert again is not None
        shown, _ = cut(rows(*left), again, place(again, DIGEST, "other", LATER), LATER)
        assert "".join(row.document_id for row in shown) == expected


def test_of_several_rows_of_a_document_the_nearest_counts() -> None:
    page = KeysetPage(limit=3)
    found = rows(*"aabaa")
    _, told = cut(found, KeysetPage(limit=4), place(page, DIGEST, "seed", NOW), NOW)
    again = KeysetPage(limit=3, after=told["after"])
    assert cut(found, again, place(again, DIGEST, "", NOW), NOW)[0] == found[4:]


def test_the_same_id_in_another_collection_is_another_document() -> None:
    page = KeysetPage(limit=1)
    found = rows("a", "b")
    _, told = cut(found, page, place(page, DIGEST, "seed", NOW), NOW)
    again = KeysetPage(limit=3, after=told["after"])
    shown, _ = cut([Row("a", "old", {}), *found], again, place(again, DIGEST, "", NOW), NOW)
    assert shown == found[1:]


def test_a_scroll_ends_when_it_was_said_to() -> None:
    page = ScrollPage(limit=1, scroll_ttl=60)
    _, told = cut(rows("a", "b"), page, place(page, DIGEST, "seed", NOW), NOW)
    behind = ScrollPage(limit=1, scroll_id=told["scroll_id"])
    assert place(behind, DIGEST, "", NOW + timedelta(seconds=60)).offset == 1
    with pytest.raises(ApiError, match="The scroll has ended") as caught:
        place(behind, DIGEST, "", NOW + timedelta(seconds=60, milliseconds=1))
    assert caught.value.status == 404


GOOD = (DIGEST, "seed", "2024-05-01T12:00:00.250Z", 3, None, "news", "b")


def but(at: int, value: Any) -> str:
    return encode_cursor((*GOOD[:at], value, *GOOD[at + 1 :]))


@pytest.mark.parametrize(
    ("cursor", "message"),
    [
        (but(0, digest_of("ret_1", {"q": 2})), "belongs to another question"),
        (but(0, 1), "not one this server gave out"),
        (but(1, None), "not one this server gave out"),
        (but(2, "yesterday"), "not one this server gave out"),
        (but(2, "0001-01-01T00:00:00+23:59"), "not one this server gave out"),
        (but(3, -1), "not one this server gave out"),
        (but(3, True), "not one this server gave out"),
        (but(3, 1.0), "not one this server gave out"),
        (but(4, "never"), "not one this server gave out"),
        (but(5, None), "not one this server gave out"),
        (but(6, 3), "not one this server gave out"),
        (encode_cursor(GOOD[:6]), "not one this server gave out"),
        (encode_cursor(()), "not one this server gave out"),
        ("x", "not one this server gave out"),
        ("é", "not one this server gave out"),
    ],
)
def test_other_cursors_are_refused(cursor: str, message: str) -> None:
    behind = {"collection_id": "news", "document_id": "b"}
    assert place(CursorPage(cursor=encode_cursor(GOOD)), DIGEST, "", LATER) == Place(
        DIGEST, "seed", NOW, 3, behind
    )
    for page in (CursorPage(cursor=cursor), ScrollPage(scroll_id=cursor)):
        with pytest.raises(ApiError, match=message) as caught:
            place(page, DIGEST, "", NOW)
        assert caught.value.status == (404 if cursor.startswith(CURSOR_PREFIX) else 400)


AFTER = {
    "collection_id": "news",
    "document_id": "b",
    "score": 1.0,
    "offset": 2,
    "seed": "s",
    "now": "2024-05-01T12:00:00.250Z",
}


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ({}, "lacks 'seed'"),
        ({**AFTER, "seed": 1}, "lacks 'seed'"),
        ({**AFTER, "now": None}, "lacks 'now'"),
        ({**AFTER, "now": "soon"}, "not one this server gave out"),
        ({**AFTER, "offset": None}, "not one this server gave out"),
        ({**AFTER, "offset": "2"}, "not one this server gave out"),
        ({**AFTER, "offset": -2}, "not one this server gave out"),
    ],
)
def test_other_places_are_refused(after: dict[str, Any], message: str) -> None:
    assert place(KeysetPage(after=AFTER), DIGEST, "", LATER) == Place(DIGEST, "s", NOW, 2, AFTER)
    with pytest.raises(ApiError, match=message) as caught:
        place(KeysetPage(after=after), DIGEST, "", NOW)
    assert caught.value.status == (400 if "lacks" in message else 404)


def test_a_digest_is_of_the_question_whatever_its_order() -> None:
    assert digest_of("r", {"a": 1, "b": [NOW]}) == digest_of("r", {"b": [NOW], "a": 1})
    questions: list[tuple[Any, ...]] = [("r",), ("r", None), ("r", {"a": 1}), ("r", {"a": "1"}), ("r", {"a": [1]})]
    assert len({digest_of(*one) for one in questions}) == len(questions)
