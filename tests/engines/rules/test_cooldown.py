from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.rules.cooldown import decide

NOON = datetime(2014, 10, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("last", "seconds_later", "cooldown", "fire", "reason"),
    [
        (None, 0, 300, True, "first fire"),
        (NOON, 0, 0, True, "no cooldown"),
        (NOON, -5, 0, True, "no cooldown"),
        (NOON, 299, 300, False, "in cooldown until 2014-10-01T12:05:00.000Z (fired at 2014-10-01T12:00:00.000Z)"),
        (NOON, 300, 300, True, "cooldown of 300 s over since 2014-10-01T12:05:00.000Z"),
        (
            NOON,
            -3_600,
            300,
            False,
            "in cooldown until 2014-10-01T12:05:00.000Z (fired at 2014-10-01T12:00:00.000Z)",
        ),
    ],
)
def test_table(last: datetime | None, seconds_later: int, cooldown: int, fire: bool, reason: str) -> None:
    decision = decide(last, NOON + timedelta(seconds=seconds_later), cooldown)
    assert (decision.fire, decision.reason) == (fire, reason)


@given(st.lists(st.integers(0, 5_000), max_size=60), st.integers(1, 900))
def test_fires_in_any_order_of_records_are_a_cooldown_apart(offsets: list[int], cooldown: int) -> None:
    last: datetime | None = None
    fired: list[datetime] = []
    for offset in offsets:
        decision = decide(last, NOON + timedelta(seconds=offset), cooldown)
        assert last is None or (decision.new_state is not None and decision.new_state >= last)
        last = decision.new_state
        if decision.fire:
            assert last == NOON + timedelta(seconds=offset)
            fired.append(last)
    assert bool(fired) == bool(offsets)
    assert all(later - earlier >= timedelta(seconds=cooldown) for earlier, later in pairwise(fired))
