"""How far the view is behind, from positions and ends. Pure."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from schemas.times import EPOCH
from streams.runtime.database import StoredPosition
from streams.runtime.freshness import behind

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)


def at(next_offset: int, seconds_ago: float | None = 0.0) -> StoredPosition:
    millis = None if seconds_ago is None else int((NOW.timestamp() - seconds_ago) * 1000)
    return StoredPosition(next_offset, millis, b"k")


def test_a_view_that_has_all_there_is_is_as_fresh_as_now() -> None:
    stands = {"results": {0: at(5, 900), 1: at(7, 30)}, "progress": {}}
    assert behind(NOW, {"results": {0: 5, 1: 7, 2: 0}, "progress": {0: 0}}, stands) == NOW
    # Behind the end that was asked for earlier is not behind.
    assert behind(NOW, {"results": {0: 4, 1: 7}, "progress": {}}, stands) == NOW


def test_where_something_waits_the_last_thing_read_there_tells() -> None:
    stands = {"results": {0: at(5, 900), 1: at(7, 30)}}
    assert behind(NOW, {"results": {0: 5, 1: 8}}, stands) == NOW - timedelta(seconds=30)
    assert behind(NOW, {"results": {0: 6, 1: 8}}, stands) == NOW - timedelta(seconds=900)
    assert behind(NOW, {"results": {0: 5, 1: 7, 2: 1}}, stands) == EPOCH
    assert behind(NOW, {"results": {0: 6}}, {"results": {0: at(5, None)}}) == EPOCH


def test_where_nobody_says_where_topics_end_every_partition_may_be_behind() -> None:
    assert behind(NOW, None, {"results": {0: at(5, 900), 1: at(7, 30)}}) == NOW - timedelta(seconds=900)
    assert behind(NOW, None, {"results": {}}) == NOW


@given(st.dictionaries(st.integers(0, 3), st.tuples(st.integers(0, 9), st.integers(0, 100)), max_size=4))
def test_more_that_waits_never_makes_the_view_fresher(read: dict[int, tuple[int, int]]) -> None:
    stands = {"results": {number: at(offset, ago) for number, (offset, ago) in read.items()}}
    ends = {number: offset for number, (offset, _) in read.items()}
    last = behind(NOW, {"results": ends}, stands)
    for number in range(4):
        ends[number] = ends.get(number, 0) + 1
        now = behind(NOW, {"results": ends}, stands)
        assert now <= last
        last = now
