"""Event triggers: fires exactly at thresholds, counts through cooldowns, and does not care how batches are cut."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from streams.engines.rules.events import EventState, count

START = datetime(2024, 1, 1, tzinfo=UTC)


def at(*seconds: float) -> list[datetime]:
    return [START + timedelta(seconds=second) for second in seconds]


def test_fires_at_the_crossing_event_and_the_rest_count_on() -> None:
    state, fires = count(EventState(), 3, 0, at(*range(8)))
    assert [(fire.index, fire.sequence, fire.counted) for fire in fires] == [(2, 1, 3), (5, 2, 3)]
    assert [fire.at for fire in fires] == at(2, 5)
    assert state == EventState(2, 2, *at(5))
    assert fires[0].reason == "3 events counted, threshold 3"


def test_a_threshold_of_one_fires_on_every_event() -> None:
    _, fires = count(EventState(), 1, 0, at(0, 0, 0))
    assert [fire.sequence for fire in fires] == [1, 2, 3]
    assert fires[0].reason == "1 event counted, threshold 1"


def test_events_in_the_cooldown_are_counted_and_the_first_after_it_fires() -> None:
    state, fires = count(EventState(), 2, 60, at(0, 1, 10, 20, 30, 60.9, 61, 62, 122))
    assert [(fire.index, fire.counted) for fire in fires] == [(1, 2), (6, 5), (8, 2)]
    assert fires[1].reason == "5 events counted, threshold 2, after a cooldown of 60 s"
    assert state == EventState(0, 3, *at(122))


def test_below_the_threshold_after_the_cooldown_waits_for_it() -> None:
    _, fires = count(EventState(), 3, 60, at(0, 0, 0, 10, 100, 101))
    assert [fire.index for fire in fires] == [2, 5]


def test_a_late_partition_fires_without_a_cooldown_and_waits_with_one() -> None:
    state = EventState(0, 1, *at(100))
    assert len(count(state, 1, 0, at(5))[1]) == 1
    assert count(state, 1, 60, at(5)) == (EventState(1, 1, *at(100)), [])


@given(
    st.lists(st.integers(0, 500), max_size=60),
    st.integers(1, 7),
    st.sampled_from((0, 30, 200)),
    st.lists(st.integers(0, 60), max_size=6),
)
def test_the_cut_into_batches_does_not_matter(
    seconds: list[int], threshold: int, cooldown: int, cuts: list[int]
) -> None:
    moments = at(*seconds)
    whole_state, whole = count(EventState(), threshold, cooldown, moments)
    state = EventState()
    pieces: list[tuple[datetime, int, int, str]] = []
    edges = [0, *sorted(min(cut, len(moments)) for cut in cuts), len(moments)]
    for begin, end in pairwise(edges):
        state, fires = count(state, threshold, cooldown, moments[begin:end])
        pieces += [(fire.at, fire.sequence, fire.counted, fire.reason) for fire in fires]
    assert state == whole_state
    assert pieces == [(fire.at, fire.sequence, fire.counted, fire.reason) for fire in whole]


@given(st.lists(st.integers(0, 500), max_size=60), st.integers(1, 7), st.sampled_from((0, 30, 200)))
def test_no_event_is_lost(seconds: list[int], threshold: int, cooldown: int) -> None:
    state, fires = count(EventState(), threshold, cooldown, at(*seconds))
    assert sum(fire.counted for fire in fires) + state.counter == len(seconds)
    assert all(fire.counted >= threshold for fire in fires)
    assert cooldown > 0 or state.counter < threshold
