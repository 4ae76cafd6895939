"""Ten years of cron schedules in zones with unlike rules, against an oracle that knows nothing of the library.

It takes the offsets of a zone from the time zone database, each change found to the minute, writes down every
wall-clock time that the five fields name, and applies the rules of Debian's cron(8): a job whose minute or hour
field begins with ``*`` runs whenever the wall clock shows one; any other runs once for each of its times, right
after the change when the clock skips it, and the first time when the clock shows it twice.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray

from streams.engines.rules.schedule import parse

BEGIN, END = datetime(2015, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
MINUTES = (END - BEGIN) // timedelta(minutes=1)
EPOCH = np.datetime64("2015-01-01T00:00", "m")
Minutes = NDArray[np.int64]

ZONES = (
    "Europe/Berlin",  # an hour, at 02:00 local
    "America/New_York",  # an hour, other dates
    "America/Sao_Paulo",  # at midnight, and given up in 2019
    "Africa/Casablanca",  # standard time in Ramadan: four changes a year
    "Asia/Tehran",  # half-hour offset, at midnight, given up in 2022
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Norfolk",  # begun in 2019
    "Asia/Kolkata",  # none
)


@dataclass(frozen=True)
class Segment:
    """A time of one offset, in minutes since the beginning; ``end`` is not in it."""

    start: int
    end: int
    offset: int


@cache
def segments(zone: str) -> tuple[Segment, ...]:
    """The offsets of a zone, each change found to the minute."""
    info = ZoneInfo(zone)

    def offset(minute: int) -> int:
        shown = (BEGIN + timedelta(minutes=minute)).astimezone(info).utcoffset()
        assert shown is not None
        return shown // timedelta(minutes=1)

    found, start, step = [], 0, 720
    for minute in range(step, MINUTES + step, step):
        if offset(min(minute, MINUTES)) == offset(start):
            continue
        low, high = minute - step, minute
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == offset(start) else (low, middle)
        found.append(Segment(start, high, offset(start)))
        start = high
    return (*found, Segment(start, MINUTES, offset(start)))


def values(text: str, low: int, high: int) -> set[int]:
    """The numbers a field names: ``*``, steps, ranges and lists."""
    found: set[int] = set()
    for part in text.split(","):
        whole, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if whole == "*" else whole).partition("-")
        found |= set(range(int(first), int(last or (high if step else first)) + 1, int(step or 1)))
    return found


@cache
def named(expression: str) -> Minutes:
    """The wall-clock minutes the five fields name, since the beginning; a few days more at both ends."""
    minute, hour, day, month, weekday = expression.split()
    dates = EPOCH.astype("datetime64[D]") + np.arange(-3, MINUTES // 1_440 + 4)
    months = dates.astype("datetime64[M]")
    of_month = np.isin((dates - months).astype(np.int64) + 1, sorted(values(day, 1, 31)))
    # The first of January 1970 was a Thursday.
    of_week = np.isin((dates.astype(np.int64) + 4) % 7, sorted(values(weekday, 0, 6)))
    starred = day.startswith("*") or weekday.startswith("*")
    on_day = (of_month & of_week) if starred else (of_month | of_week)
    on_day &= np.isin(months.astype(np.int64) % 12 + 1, sorted(values(month, 1, 12)))
    days = (dates[on_day].astype("datetime64[m]") - EPOCH).astype(np.int64)
    in_day = [60 * h + m for h in sorted(values(hour, 0, 23)) for m in sorted(values(minute, 0, 59))]
    found: Minutes = (days[:, None] + np.array(in_day)).ravel()
    return found


def oracle(expression: str, zone: str) -> list[int]:
    """Every fire, in minutes since the beginning."""
    minute, hour, *_ = expression.split()
    follows_the_clock = minute.startswith("*") or hour.startswith("*")
    walls = named(expression)
    found: list[int] = []
    shown_until = segments(zone)[0].offset
    for segment in segments(zone):
        first, end = segment.start + segment.offset, segment.end + segment.offset
        if not follows_the_clock:
            if ((shown_until <= walls) & (walls < first)).any():
                found.append(segment.start)
            first = max(first, shown_until)
            shown_until = max(shown_until, end)
        found += (walls[(first <= walls) & (walls < end)] - segment.offset).tolist()
    return sorted(set(found))


def fires(expression: str, zone: str) -> list[int]:
    """Every fire of the schedule under test."""
    plan = parse("cron", {"cron_expression": expression, "timezone": zone})
    found, moment = [], plan.after(BEGIN - timedelta(minutes=1))
    while moment < END:
        minutes, rest = divmod(moment - BEGIN, timedelta(minutes=1))
        assert not rest
        found.append(minutes)
        moment = plan.after(moment)
    return found


def shown(zone: str, minutes: set[int]) -> list[str]:
    """Minutes for people."""
    return [str((BEGIN + timedelta(minutes=one)).astimezone(ZoneInfo(zone))) for one in sorted(minutes)[:5]]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    "expression",
    [
        "30 2 * * *",
        "0 0 * * *",
        "15,45 1-3 * * 0",
        "5 0,23 1 * 1-5",
        "0 3 29 2 *",
        "30 */12 * * *",
        "*/20 2 * * 6,0",
    ],
)
def test_ten_years(zone: str, expression: str) -> None:
    expected, found = set(oracle(expression, zone)), set(fires(expression, zone))
    assert not expected - found, f"missing: {shown(zone, expected - found)}"
    assert not found - expected, f"not expected: {shown(zone, found - expected)}"


def test_the_oracle_sees_the_changes() -> None:
    """A table that holds no change would prove nothing."""
    changes = {zone: len(segments(zone)) - 1 for zone in ZONES}
    assert changes == {
        "Europe/Berlin": 20,
        "America/New_York": 20,
        "America/Sao_Paulo": 9,
        "Africa/Casablanca": 27,
        "Asia/Tehran": 16,
        "Australia/Lord_Howe": 20,
        "Pacific/Norfolk": 12,
        "Asia/Kolkata": 0,
    }
    half = segments("Australia/Lord_Howe")[:2]
    assert abs(half[1].offset - half[0].offset) == 30
