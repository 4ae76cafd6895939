"""Buckets: a cut at a check never falls inside one."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.drift.buckets import bucket_start, bucket_width


@pytest.mark.parametrize(
    ("interval", "window", "width"),
    [
        (7 * 86_400, None, 86_400),
        (86_400, None, 86_400),
        (3_600, None, 3_600),
        (86_400, 3_600, 3_600),
        (86_400, 30 * 86_400, 86_400),
        (5_400, None, 60),
        (60, 86_400, 60),
        (5, None, 1),
        (90, None, 1),
        (60, 90, 1),
    ],
)
def test_width(interval: int, window: int | None, width: int) -> None:
    assert bucket_width(interval, window) == width


@given(st.integers(1, 10**7), st.none() | st.integers(1, 10**7))
def test_the_width_divides_interval_and_window(interval: int, window: int | None) -> None:
    width = bucket_width(interval, window)
    assert interval % width == 0
    assert window is None or window % width == 0


@pytest.mark.parametrize(("interval", "window"), [(0, None), (60, 0), (-60, None)])
def test_a_span_under_a_second_is_refused(interval: int, window: int | None) -> None:
    with pytest.raises(ValueError, match="at least 1 second"):
        bucket_width(interval, window)


@given(st.datetimes(timezones=st.just(UTC)), st.sampled_from((86_400, 3_600, 60, 1)))
def test_start_holds_the_moment(moment: datetime, width: int) -> None:
    start = bucket_start(moment, width)
    assert start <= moment < start + timedelta(seconds=width)
    assert (start - datetime(1970, 1, 1, tzinfo=UTC)) % timedelta(seconds=width) == timedelta(0)


def test_start_is_in_utc_wherever_the_moment_is_written() -> None:
    moment = datetime(2014, 10, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert bucket_start(moment, 86_400) == datetime(2014, 9, 30, tzinfo=UTC)
    assert bucket_start(moment, 86_400).tzinfo is UTC
