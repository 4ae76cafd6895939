"""Cursors, windows and cuts against plain references."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.query.compose.rows import Execution, Unfired
from streams.query.paging import After, cut, parse_cursor, windows
from streams.runtime.http.errors import ApiError
from streams.runtime.http.pages import decode_cursor, encode_cursor

DAYS = st.lists(st.dates(date(2020, 1, 1), date(2021, 1, 1)), unique=True).map(lambda days: sorted(days)[::-1])
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2020, 1, 2)).map(lambda t: t.replace(tzinfo=UTC))  # noqa: DTZ001


@given(days=DAYS, newest=st.none() | st.dates(date(2020, 1, 1), date(2021, 1, 1)))
def test_windows_hold_every_day_once_newest_first(days: list[date], newest: date | None) -> None:
    seen = list(windows(days, newest))
    assert [day for window in seen for day in window] == [day for day in days if newest is None or day <= newest]
    assert [len(window) for window in seen[:-1]] == [min(2**n, 32) for n in range(len(seen) - 1)]


def execution(number: int, moment: datetime) -> Execution:
    return Execution(
        base=number.to_bytes(12, "big"),
        number=number,
        alert_id="alt",
        alert_version=1,
        retriever_id="ret",
        appended_at=moment,
        score=1.0,
        reason="",
        matched_features=None,
        match_count=None,
        matches=None,
        reference_position=None,
        triggered=True,
        include_matches=True,
        channels=[],
        collection_id="col",
        document_id="doc",
        source_topic="documents",
        source_partition=0,
        source_offset=0,
        occurred_at=moment,
        executed_at=moment,
        duration_ms=0,
        definitions_version=1,
        asset_id=None,
        truncated=False,
        document={},
    )


def unfired(number: int) -> Unfired:
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    return Unfired(number, f"alt_{number}", 1, "ret", True, False, "col", moment, moment, 1)


@given(moments=st.lists(MOMENTS, max_size=12), silent=st.integers(0, 6), limit=st.integers(1, 5))
def test_walking_by_cursor_and_by_offset_both_see_everything_once(
    moments: list[datetime], silent: int, limit: int
) -> None:
    recorded = sorted(
        (execution(number, moment) for number, moment in enumerate(moments)),
        key=lambda item: (item.appended_at, item.base, item.number),
        reverse=True,
    )
    never = [unfired(number) for number in reversed(range(100, 100 + silent))]
    everything: list[Execution | Unfired] = [*recorded, *never]
    walked: list[Execution | Unfired] = []
    after: After | None = None
    while True:
        behind = [
            item
            for item in recorded
            if after is None
            or (
                after.recorded
                and (item.appended_at, item.base, item.number) < (after.appended_at, after.base, after.number)
            )
        ]
        page, following = cut(behind[: limit + 1], never, after, 0, limit)
        walked += page
        if following is None:
            break
        assert len(page) == limit
        after = parse_cursor(decode_cursor(encode_cursor(following.cursor())))
    assert walked == everything
    by_offset = [
        item
        for offset in range(0, len(everything), limit)
        for item in cut(recorded[: offset + limit + 1], never, None, offset, limit)[0]
    ]
    assert by_offset == everything


@given(MOMENTS, st.binary(min_size=12, max_size=12), st.integers(0, (1 << 63) - 1))
def test_a_cursor_survives_the_wire(moment: datetime, base: bytes, number: int) -> None:
    after = After(number, moment, base)
    assert parse_cursor(decode_cursor(encode_cursor(after.cursor()))) == after


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("x",),
        (True,),
        (-1,),
        (1 << 63,),
        (1.5,),
        ("never", "00" * 12, 1),
        ("2020-01-01T00:00:00Z", "00", 1),
        ("2020-01-01T00:00:00Z", "zz" * 12, 1),
        ("0001-01-01T00:00:00+14:00", "00" * 12, 1),
        ("2020-01-01T00:00:00Z", "00" * 12, True),
    ],
)
def test_a_foreign_cursor_is_not_there(values: tuple[object, ...]) -> None:
    with pytest.raises(ApiError) as refused:
        parse_cursor(values)
    assert refused.value.status == 404


def test_days_far_apart_cost_few_windows() -> None:
    days = [date(2024, 1, 1) - timedelta(days=n) for n in range(365)]
    assert len(list(windows(days))) == 16
