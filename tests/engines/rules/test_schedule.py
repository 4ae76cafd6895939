"""Schedules against a plain oracle that walks every minute of the clock, over daylight-saving changes."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from streams.engines.rules.schedule import (
    MAX_INTERVAL_SECONDS,
    Cron,
    Interval,
    ScheduleError,
    initial_state,
    is_overdue,
    parse,
)

MINUTE = timedelta(minutes=1)
# Three days around each change; in both zones the night of the change is the second.
CHANGES = [
    ("Europe/Berlin", datetime(2024, 3, 30, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2024, 10, 26, tzinfo=UTC)),
    ("America/New_York", datetime(2024, 3, 9, tzinfo=UTC)),
    ("America/New_York", datetime(2024, 11, 2, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2024, 3, 9, tzinfo=UTC)),
]
DAYS = 3


@cache
def _clock(zone: str, start: datetime) -> list[tuple[datetime, datetime]]:
    """(instant, wall clock without zone) of every minute."""
    instants = [start + MINUTE * number for number in range(DAYS * 1_440)]
    return [(instant, instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) for instant in instants]


Fields = tuple[frozenset[int], frozenset[int], frozenset[int], frozenset[int], frozenset[int]]


def _oracle(expression: str, fields: Fields, zone: str, start: datetime) -> list[datetime]:
    minute, hour, _, _, _ = expression.split()
    clock = _clock(zone, start)
    if minute.startswith("*") or hour.startswith("*"):
        return [instant for instant, wall in clock if _matches(expression, fields, wall)]
    first: dict[datetime, datetime] = {}
    for instant, wall in clock:
        first.setdefault(wall, instant)
    fires = set()
    wall = clock[0][1]
    while wall <= clock[-1][1]:
        if _matches(expression, fields, wall):
            shown = wall
            while shown not in first:  # the clocks jumped over it: the first minute they show after it
                shown += MINUTE
            fires.add(first[shown])
        wall += MINUTE
    return sorted(fires)


def _matches(expression: str, fields: Fields, wall: datetime) -> bool:
    minutes, hours, days, months, weekdays = fields
    _, _, day_text, _, weekday_text = expression.split()
    day, weekday = wall.day in days, (wall.isoweekday() % 7) in weekdays
    either = not day_text.startswith("*") and not weekday_text.startswith("*")
    on_day = (day or weekday) if either else (day and weekday)
    return wall.minute in minutes and wall.hour in hours and wall.month in months and on_day


def _some(low: int, high: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    values = st.frozensets(st.integers(low, high), min_size=1, max_size=4)
    return values.map(lambda drawn: (",".join(str(value) for value in sorted(drawn)), drawn))


def _field(low: int, high: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    whole = range(low, high + 1)
    return st.one_of(
        st.just(("*", frozenset(whole))),
        st.sampled_from((2, 3, 7, 15, 20)).map(lambda step: (f"*/{step}", frozenset(whole[::step]))),
        _some(low, high),
        st.tuples(st.sampled_from(whole), st.sampled_from(whole)).map(
            lambda pair: (f"{min(pair)}-{max(pair)}", frozenset(range(min(pair), max(pair) + 1)))
        ),
    )


crons = st.tuples(
    _field(0, 59),
    st.one_of(_field(0, 23), _some(0, 4)),
    st.one_of(st.just(("*", frozenset(range(1, 32)))), _field(1, 31)),
    st.one_of(st.just(("*", frozenset(range(1, 13)))), _field(1, 12)),
    st.one_of(st.just(("*", frozenset(range(7)))), _field(0, 6)),
)


@settings(max_examples=300, deadline=None)
@given(crons, st.sampled_from(CHANGES), st.integers(0, (DAYS - 1) * 1_440 * 60))
def test_cron_against_the_oracle(
    drawn: tuple[tuple[str, frozenset[int]], ...], change: tuple[str, datetime], seconds: int
) -> None:
    zone, start = change
    expression = " ".join(text for text, _ in drawn)
    values = tuple(field for _, field in drawn)
    assert len(values) == 5
    begin = start + timedelta(seconds=seconds)
    note(f"{expression} in {zone} after {begin}")
    # The last hours are left out: a job the clocks jump over may be shown after the window of the oracle.
    end = start + timedelta(days=DAYS) - timedelta(hours=3)
    expected = [fire for fire in _oracle(expression, values, zone, start) if begin < fire < end]
    found: list[datetime] = []
    try:
        schedule = parse("cron", {"cron_expression": expression, "timezone": zone})
        moment = schedule.after(begin)
        while moment < end and len(found) <= len(expected):
            found.append(moment)
            moment = schedule.after(moment)
    except ScheduleError:
        assert expected == []  # such as the 31st of February
    assert found == expected


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # 02:30 does not exist in Berlin on 31 March 2024: once, right after the gap.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2024-03-30T12:00+00:00",
            ["2024-03-31T01:00+00:00", "2024-04-01T00:30+00:00"],
        ),
        # 02:30 comes twice on 27 October: the first time only.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2024-10-26T12:00+00:00",
            ["2024-10-27T00:30+00:00", "2024-10-28T01:30+00:00"],
        ),
        # Asked from between the two: not the one that is over.
        ("30 2 * * *", "Europe/Berlin", "2024-10-27T01:10+00:00", ["2024-10-28T01:30+00:00"]),
        (
            "0 9 * * 1-5",
            "America/New_York",
            "2024-11-01T12:00+00:00",
            ["2024-11-01T13:00+00:00", "2024-11-04T14:00+00:00"],
        ),
        ("0 0 29 2 *", "UTC", "2023-01-01T00:00+00:00", ["2024-02-29T00:00+00:00", "2028-02-29T00:00+00:00"]),
        ("0 8 * JAN MON", "Asia/Kolkata", "2024-01-01T02:30+00:00", ["2024-01-08T02:30+00:00"]),
    ],
)
def test_cron_by_hand(expression: str, zone: str, after: str, expected: list[str]) -> None:
    schedule = parse("cron", {"cron_expression": expression, "timezone": zone})
    moment = datetime.fromisoformat(after)
    for text in expected:
        moment = schedule.after(moment)
        assert moment == datetime.fromisoformat(text)
        assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("trigger_type", "config", "message"),
    [
        ("cron", {}, "cron_expression is required"),
        ("cron", {"cron_expression": 5}, "cron_expression is required"),
        ("cron", {"cron_expression": "* * * *"}, "has 4 fields"),
        ("cron", {"cron_expression": "0 * * * * *"}, "has 6 fields"),
        ("cron", {"cron_expression": "@daily"}, "has 1 fields"),
        ("cron", {"cron_expression": "61 * * * *"}, "Bad minute"),
        ("cron", {"cron_expression": "* * * * MOON"}, "Bad day-of-week"),
        ("cron", {"cron_expression": "0 0 30 2 *"}, "Bad day-of-month"),
        ("cron", {"cron_expression": "0 0 * * *", "timezone": "Mars/Olympus"}, "'Mars/Olympus' is not an IANA"),
        ("cron", {"cron_expression": "0 0 * * *", "timezone": "../etc/passwd"}, "is not an IANA"),
        ("cron", {"cron_expression": "0 0 * * *", "timezone": "America"}, "is not an IANA"),
        ("cron", {"cron_expression": "0 0 * * *", "timezone": "a\x00b"}, "is not an IANA"),
        ("cron", {"cron_expression": "0 0 * * *", "timezone": 7}, "is not an IANA"),
        ("interval", {}, "interval_seconds must be"),
        ("interval", {"interval_seconds": 0}, "interval_seconds must be"),
        ("interval", {"interval_seconds": True}, "interval_seconds must be"),
        ("interval", {"interval_seconds": "60"}, "interval_seconds must be"),
        ("interval", {"interval_seconds": MAX_INTERVAL_SECONDS + 1}, "interval_seconds must be"),
        ("interval", {"interval_seconds": 60, "start_immediately": "yes"}, "start_immediately must be"),
        ("weekly", {}, "'weekly' has no schedule"),
        ("conditional", {"condition_type": "mood", "threshold": 1}, "condition_type must be one of drift, volume"),
        ("conditional", {"condition_type": "volume"}, "threshold is required"),
    ],
)
def test_what_cannot_work_is_said_in_words(trigger_type: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        initial_state(trigger_type, config, datetime(2024, 1, 1, tzinfo=UTC))


@given(st.text(alphabet="0123456789*/,-L#W MON?@é", max_size=24))
def test_any_text_is_a_schedule_or_a_clear_error(text: str) -> None:
    # Anything else that is raised fails the test.
    with suppress(ScheduleError):
        schedule = parse("cron", {"cron_expression": text})
        assert schedule.after(datetime(2024, 1, 1, tzinfo=UTC)) > datetime(2024, 1, 1, tzinfo=UTC)


NOW = datetime(2024, 5, 1, 12, 34, 56, 789, tzinfo=UTC)


@pytest.mark.parametrize(
    ("trigger_type", "config", "expected"),
    [
        ("cron", {"cron_expression": "0 * * * *"}, datetime(2024, 5, 1, 13, tzinfo=UTC)),
        ("cron", {"cron_expression": "0 9 * * *", "timezone": "Asia/Tokyo"}, datetime(2024, 5, 2, tzinfo=UTC)),
        ("interval", {"interval_seconds": 60}, NOW + MINUTE),
        ("interval", {"interval_seconds": 60, "start_immediately": True}, NOW),
        ("event", {"event_type": "documents_added"}, None),
        ("conditional", {"condition_type": "volume", "threshold": 5}, datetime(2024, 5, 1, 13, tzinfo=UTC)),
        ("conditional", {"condition_type": "volume", "threshold": 5, "time_domain": "event_time"}, None),
    ],
)
def test_initial_state(trigger_type: str, config: dict[str, Any], expected: datetime | None) -> None:
    assert initial_state(trigger_type, config, NOW) == {"next_scheduled_at": expected}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(("*/7 * * * *", "15 */5 * * *", "30 2 * * *", "0 9 * * 1", "0 0 1 * *")),
    st.sampled_from(("UTC", "Europe/Berlin", "America/New_York")),
    st.integers(0, 330 * 86_400),
    st.integers(0, 90 * 86_400),
)
def test_latest_is_what_walking_finds(expression: str, zone: str, seconds: int, later: int) -> None:
    created = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    schedule = Cron(expression, ZoneInfo(zone))
    scheduled, now = schedule.after(created), created + timedelta(seconds=later)
    plain, walked = None, scheduled
    while walked <= now:
        plain, walked = walked, schedule.after(walked)
    if plain is not None:
        assert schedule.latest(scheduled, now) == plain
    assert schedule.following(scheduled, now) == walked


def test_years_of_a_job_of_every_minute_are_not_walked_through() -> None:
    found = Cron("* * * * *", ZoneInfo("UTC")).latest(datetime(1990, 1, 1, tzinfo=UTC), NOW)
    assert found == NOW.replace(second=0, microsecond=0)


@given(st.integers(1, 100_000), st.integers(-10_000_000, 10_000_000))
def test_intervals_keep_their_phase(seconds: int, later: int) -> None:
    schedule = Interval(seconds)
    moment = NOW + timedelta(seconds=later)
    last, following = schedule.latest(NOW, moment), schedule.following(NOW, moment)
    assert last <= moment < following
    assert (last - NOW) % timedelta(seconds=seconds) == timedelta(0)
    assert following - last == timedelta(seconds=seconds)


def test_an_interval_is_not_stretched_by_daylight_saving() -> None:
    berlin = datetime(2024, 3, 30, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    now = datetime(2024, 4, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    assert Interval(86_400).latest(berlin, now) == datetime(2024, 3, 31, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "trigger_type", "scheduled", "expected"),
    [
        ("active", "cron", NOW - MINUTE, True),
        ("active", "interval", NOW - MINUTE, True),
        ("active", "interval", NOW, False),
        ("active", "interval", None, False),
        ("paused", "interval", NOW - MINUTE, False),
        ("failed", "cron", NOW - MINUTE, False),
        ("active", "conditional", NOW - MINUTE, False),
    ],
)
def test_is_overdue(status: str, trigger_type: str, scheduled: datetime | None, expected: bool) -> None:
    assert is_overdue(status, trigger_type, scheduled, NOW) is expected
