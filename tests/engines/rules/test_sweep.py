"""Timetables: what an alert that is swept every minute tells."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.rules import cooldown
from streams.engines.rules.sweep import SweepState, decide

NOON = datetime(2014, 10, 1, 12, tzinfo=UTC)


def minutes(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


@pytest.mark.parametrize(
    ("holds", "cooldown_minutes", "renotify_minutes", "told"),
    [
        # One line per sweep a minute: x where the condition holds, ! where it must be told.
        ("..xxxx..xx", 0, None, "..!.....!."),
        ("..xxxxxxxx", 0, 3, "..!..!..!."),
        ("xx.xx.xx.x", 5, None, "!.....!..."),
        # An edge inside the cooldown is told when that is over, not forgotten.
        ("x.xxxxxxxx", 5, None, "!....!...."),
        ("x.xx......", 5, None, "!........."),
        # A reminder is never inside the cooldown, however short its interval.
        ("xxxxxxxxxx", 4, 1, "!...!...!."),
        ("xxxxxxxxxx", 2, 5, "!....!...."),
        ("xxxx.xxxxx", 0, 3, "!..!.!..!."),
    ],
)
def test_timetable(holds: str, cooldown_minutes: int, renotify_minutes: int | None, told: str) -> None:
    state = SweepState()
    answers = ""
    for minute, held in enumerate(holds):
        renotify = None if renotify_minutes is None else renotify_minutes * 60
        decision = decide(state, held == "x", minutes(minute), cooldown_minutes * 60, renotify)
        state = decision.new_state
        answers += "!" if decision.fire else "."
    assert answers == told


def test_a_match_on_ingest_and_a_sweep_share_one_cooldown() -> None:
    ingest = cooldown.decide(None, minutes(0), 300)
    assert ingest.fire
    held_back = decide(SweepState(ingest.new_state), True, minutes(3), 300, None)
    assert not held_back.fire
    assert "in cooldown until 2014-10-01T12:05:00.000Z" in held_back.reason
    told = decide(held_back.new_state, True, minutes(5), 300, None)
    assert told.fire
    # Each new match on ingest is an event of its own, whatever a sweep told.
    assert cooldown.decide(told.new_state.last_fired_at, minutes(10), 300).fire


@given(
    st.lists(st.booleans(), max_size=60),
    st.integers(0, 900),
    st.one_of(st.none(), st.integers(60, 900)),
)
def test_fires_are_a_cooldown_apart_and_only_while_it_holds(
    holds: list[bool], cooldown_seconds: int, renotify: int | None
) -> None:
    state = SweepState()
    fired: list[datetime] = []
    for minute, held in enumerate(holds):
        decision = decide(state, held, minutes(minute), cooldown_seconds, renotify)
        if decision.fire:
            assert held
            fired.append(minutes(minute))
        state = decision.new_state
        assert state.last_fired_at == (fired[-1] if fired else None)
    assert bool(fired) == any(holds)
    assert all(later - earlier >= timedelta(seconds=cooldown_seconds) for earlier, later in pairwise(fired))
