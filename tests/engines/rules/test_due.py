"""Overlap, catch-up and jitter against a reference that goes through every nominal time."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engines.rules.due import (
    AT_ONCE,
    COUNTED,
    Decision,
    OverlapPolicy,
    Pending,
    Policy,
    Skipped,
    between,
    decide,
    due_at,
)
from streams.engines.rules.errors import ScheduleError
from streams.engines.rules.schedule import Cron, Interval, Schedule

HOUR = timedelta(hours=1)
HOURLY = Cron("0 * * * *", ZoneInfo("UTC"))
TWO = datetime(2024, 5, 1, 2, tzinfo=UTC)


def hourly(policy: Policy, at: Pending, now: datetime) -> Decision:
    return decide("trig_a", HOURLY, policy, at, now)


def fired(decision: Decision) -> list[datetime]:
    return [fire.nominal_at for fire in decision.fires]


def skipped(decision: Decision) -> list[tuple[datetime, datetime, int]]:
    return [(item.first_at, item.before, item.count) for item in decision.skipped]


def test_nothing_is_due_before_its_time() -> None:
    decision = hourly(Policy(), Pending(TWO), TWO - timedelta(milliseconds=1))
    assert decision == Decision(TWO, TWO)


def test_on_time() -> None:
    decision = hourly(Policy(), Pending(TWO), TWO)
    assert (fired(decision), decision.skipped) == ([TWO], ())
    assert decision.fires[0].reason == "cron '0 * * * *' (UTC) due at 2024-05-01T02:00:00.000Z"
    assert decision.next_scheduled_at == decision.next_due_at == TWO + HOUR


LATE = TWO + HOUR * 2.5  # 02:00, 03:00 and 04:00 were missed


@pytest.mark.parametrize(
    ("overlap", "running", "fires", "buffered", "left_out"),
    [
        ("skip", False, [TWO], None, [(TWO + HOUR, TWO + HOUR * 3, 2)]),
        ("skip", True, [], None, [(TWO, TWO + HOUR * 3, 3)]),
        ("buffer_one", False, [TWO], TWO + HOUR, [(TWO + HOUR * 2, TWO + HOUR * 3, 1)]),
        ("buffer_one", True, [], TWO, [(TWO + HOUR, TWO + HOUR * 3, 2)]),
        ("allow_all", False, [TWO, TWO + HOUR, TWO + HOUR * 2], None, []),
        ("allow_all", True, [TWO, TWO + HOUR, TWO + HOUR * 2], None, []),
    ],
)
def test_what_was_missed(
    overlap: OverlapPolicy,
    running: bool,
    fires: list[datetime],
    buffered: datetime | None,
    left_out: list[tuple[datetime, datetime, int]],
) -> None:
    decision = hourly(Policy(overlap), Pending(TWO, running=running), LATE)
    assert (fired(decision), decision.buffered_at, skipped(decision)) == (fires, buffered, left_out)
    assert decision.next_scheduled_at == TWO + HOUR * 3
    assert all(item.why.startswith("the run before was not over") for item in decision.skipped)


def test_what_waited_fires_when_the_run_is_over_and_then_is_the_open_run() -> None:
    policy = Policy("buffer_one")
    still = hourly(policy, Pending(TWO + HOUR, TWO, running=True), TWO + HOUR / 2)
    assert (still.fires, still.buffered_at) == ((), TWO)
    over = hourly(policy, Pending(TWO + HOUR, TWO), TWO + HOUR)
    assert (fired(over), over.buffered_at) == ([TWO], TWO + HOUR)
    assert over.fires[0].reason.endswith("kept until the run before it was over")


def test_what_is_older_than_the_catch_up_window_is_skipped() -> None:
    policy = Policy("allow_all", catchup=timedelta(minutes=45))
    decision = hourly(policy, Pending(TWO), LATE)
    assert (fired(decision), skipped(decision)) == ([TWO + HOUR * 2], [(TWO, TWO + HOUR * 2, 2)])
    assert decision.skipped[0].why == "older than the catch-up window of 2700 s"
    # Nothing is left inside the window.
    none = hourly(Policy(catchup=timedelta(seconds=10)), Pending(TWO), LATE)
    assert (fired(none), skipped(none)) == ([], [(TWO, TWO + HOUR * 3, 3)])


def test_the_work_of_one_decision_is_bounded() -> None:
    minutely = Cron("* * * * *", ZoneInfo("UTC"))
    now = TWO + timedelta(days=200)
    all_of_it = decide("trig_a", minutely, Policy("allow_all"), Pending(TWO), now)
    assert len(all_of_it.fires) == AT_ONCE
    assert all_of_it.next_scheduled_at == TWO + timedelta(minutes=AT_ONCE)
    one = decide("trig_a", minutely, Policy(), Pending(TWO), now)
    assert (fired(one), skipped(one)) == (
        [TWO],
        [(TWO + timedelta(minutes=1), now + timedelta(minutes=1), COUNTED)],
    )


def test_jitter_is_a_function_of_trigger_and_nominal_time() -> None:
    policy = Policy(jitter=timedelta(minutes=10))
    times = [due_at("trig_a", HOURLY, policy, TWO + HOUR * number) for number in range(200)]
    offsets = [moment - (TWO + HOUR * number) for number, moment in enumerate(times)]
    assert all(timedelta(0) <= offset <= policy.jitter for offset in offsets)
    assert len(set(offsets)) > 150
    assert times == [due_at("trig_a", HOURLY, policy, TWO + HOUR * number) for number in range(200)]
    assert times != [due_at("trig_b", HOURLY, policy, TWO + HOUR * number) for number in range(200)]
    # Never as late as the next nominal time, however long the jitter may be.
    second = Interval(1)
    wide = Policy(jitter=timedelta(days=1))
    assert all(
        due_at("trig_a", second, wide, TWO + timedelta(seconds=n)) < TWO + timedelta(seconds=n + 1)
        for n in range(100)
    )


@dataclass
class Reference:
    """One nominal time after the other, with nothing bounded."""

    trigger_id: str
    schedule: Schedule
    policy: Policy
    nominal: datetime
    buffered: datetime | None = None
    fires: list[datetime] = field(default_factory=list)
    skipped: list[datetime] = field(default_factory=list)

    def step(self, running: bool, now: datetime) -> None:
        if self.buffered is not None and not running:
            self.fires.append(self.buffered)
            self.buffered, running = None, True
        while (due := due_at(self.trigger_id, self.schedule, self.policy, self.nominal)) <= now:
            moment, self.nominal = self.nominal, self.schedule.after(self.nominal)
            if due < now - self.policy.catchup:
                self.skipped.append(moment)
            elif not running or self.policy.overlap == "allow_all":
                self.fires.append(moment)
                running = True
            elif self.policy.overlap == "buffer_one" and self.buffered is None:
                self.buffered = moment
            else:
                self.skipped.append(moment)


def walked(schedule: Schedule, item: Skipped) -> list[datetime]:
    found = between(schedule, item.first_at, item.first_at, item.before - timedelta(microseconds=1), COUNTED)
    assert len(found) == item.count
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(
        (
            HOURLY,
            Cron("*/20 2-5 * * *", ZoneInfo("Europe/Berlin")),
            Cron("30 2 * * *", ZoneInfo("America/New_York")),
            Interval(1_800),
            Interval(5_000),
        )
    ),
    st.sampled_from(get_args(OverlapPolicy)),
    st.sampled_from((60, 3_600, 7_000, 86_400 * 365)),
    st.sampled_from((0, 0, 300, 100_000)),
    st.lists(st.tuples(st.integers(0, 20_000), st.booleans()), min_size=1, max_size=12),
)
def test_decisions_are_those_of_the_reference(
    schedule: Schedule,
    overlap: OverlapPolicy,
    catchup: int,
    jitter: int,
    ticks: list[tuple[int, bool]],
) -> None:
    policy = Policy(overlap, timedelta(seconds=catchup), timedelta(seconds=jitter))
    now = datetime(2024, 3, 9, 12, tzinfo=UTC)
    first = schedule.first(now)
    reference = Reference("trig_a", schedule, policy, first)
    nominal, buffered = first, None
    fires: list[datetime] = []
    left_out: list[datetime] = []
    for seconds, running in ticks:
        now += timedelta(seconds=seconds)
        decision = decide("trig_a", schedule, policy, Pending(nominal, buffered, running), now)
        nominal, buffered = decision.next_scheduled_at, decision.buffered_at
        fires += fired(decision)
        for item in decision.skipped:
            left_out += walked(schedule, item)
        reference.step(running, now)
    assert (fires, left_out) == (reference.fires, reference.skipped)
    assert (nominal, buffered) == (reference.nominal, reference.buffered)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"overlap_policy": "cancel"}, "overlap_policy must be one of skip, buffer_one, allow_all"),
        ({"catchup_window_seconds": "1"}, "catchup_window_seconds must be"),
        ({"jitter_seconds": -1}, "jitter_seconds must be"),
        ({"jitter_seconds": True}, "jitter_seconds must be"),
    ],
)
def test_a_wrong_policy_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        Policy.parse(config)
    assert Policy.parse({}) == Policy()
