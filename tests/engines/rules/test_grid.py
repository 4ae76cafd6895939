from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from schemas.times import EPOCH
from streams.engines.rules import grid

moments = st.integers(-(10**15), 4 * 10**15).map(lambda micros: EPOCH + timedelta(microseconds=micros))


def test_weeks_begin_on_thursdays() -> None:
    assert grid.after(datetime(2014, 10, 1, 12, tzinfo=UTC), 7 * 86_400) == datetime(2014, 10, 2, tzinfo=UTC)
    assert grid.after(datetime(2014, 10, 2, tzinfo=UTC), 7 * 86_400) == datetime(2014, 10, 9, tzinfo=UTC)


@given(moments, st.integers(1, 10_000_000))
def test_neighbours_of_an_instant(moment: datetime, interval: int) -> None:
    before, after = grid.at_or_before(moment, interval), grid.after(moment, interval)
    assert before <= moment < after
    assert after - before == timedelta(seconds=interval)
    assert (before - EPOCH) % timedelta(seconds=interval) == timedelta(0)
    assert grid.before(after, interval) == before
    assert grid.before(before + timedelta(microseconds=1), interval) == before


@given(moments, st.integers(0, 400), st.integers(1, 60))
def test_due_is_every_point_once(last: datetime, minutes: int, interval_minutes: int) -> None:
    until = last + timedelta(minutes=minutes)
    seconds = range(int((last - EPOCH).total_seconds()) - 1, int((until - EPOCH).total_seconds()) + 1)
    points = (EPOCH + timedelta(seconds=second) for second in seconds if second % (60 * interval_minutes) == 0)
    assert list(grid.due(last, until, 60 * interval_minutes)) == [
        point for point in points if last < point <= until
    ]


def test_an_instant_of_another_zone_is_the_same_instant() -> None:
    elsewhere = datetime(2014, 10, 1, 23, 30, tzinfo=timezone(timedelta(hours=-2)))
    assert grid.at_or_before(elsewhere, 86_400) == datetime(2014, 10, 2, tzinfo=UTC)
