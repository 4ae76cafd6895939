"""A reader that hangs is told from one that works and from one that has nothing to do. Pure."""

from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.standing import Standing

A, B = ("results", 0), ("results", 1)


def test_only_what_waits_at_the_same_place_stands_still() -> None:
    standing = Standing()
    assert standing.see(0, {A: 5, B: 5}, {A: 5, B: 3}) == 0
    assert standing.see(10, {A: 5, B: 9}, {A: 5, B: 3}) == 10
    # It went on.
    assert standing.see(20, {A: 9, B: 9}, {A: 5, B: 4}) == 0
    assert standing.see(25, {A: 9, B: 9}, {A: 5, B: 5}) == 5
    # All is read, and an hour later something comes.
    assert standing.see(30, {A: 9, B: 9}, {A: 9, B: 9}) == 0
    assert standing.see(3_600, {A: 10, B: 9}, {A: 9, B: 9}) == 0


def test_a_partition_that_was_never_read_stands_at_its_beginning() -> None:
    standing = Standing()
    assert standing.see(1, {A: 1, B: 0}, {}) == 0
    assert standing.see(4, {A: 2, B: 0}, {}) == 3


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_it_is_as_long_as_the_last_run_of_equal_places_with_something_behind(steps: list[tuple[int, int]]) -> None:
    standing = Standing()
    told = 0.0
    for now, (offset, end) in enumerate(steps):
        told = standing.see(now, {A: end}, {A: offset})
    run = 0
    for offset, end in reversed(steps):
        if offset >= end or offset != steps[-1][0]:
            break
        run += 1
    assert told == max(0, run - 1)
