"""Cron and interval schedules: the instants a trigger stands for (contract 4.8). Pure.

Daylight saving follows Debian cron (``cronsim``): a job of fixed hours and minutes that falls into the skipped
hour fires once, right after it; in the repeated hour it fires once, the first time. Jobs whose minute or hour
begins with ``*`` follow the wall clock as it runs: nothing in the skipped hour, twice in the repeated one.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypedDict
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from streams.engines.rules import grid
from streams.engines.rules.condition import Condition
from streams.engines.rules.errors import ScheduleError as ScheduleError

MAX_INTERVAL_SECONDS = 100 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class Cron:
    """Fires at the local times of ``zone`` that match the five fields of ``expression``."""

    expression: str
    zone: ZoneInfo

    @property
    def words(self) -> str:
        """The schedule for people."""
        return f"cron '{self.expression}' ({self.zone.key})"

    def first(self, created_at: datetime) -> datetime:
        """The first nominal time of a schedule created then."""
        return self.after(created_at)

    def after(self, moment: datetime) -> datetime:
        """The first nominal time strictly after ``moment``. Raises :class:`ScheduleError` when there is none
        within 50 years."""
        return _after(self.expression, self.zone, moment)

    def following(self, _: datetime, moment: datetime) -> datetime:
        """The first nominal time strictly after ``moment``, whichever is known."""
        return self.after(moment)

    def latest(self, scheduled: datetime, now: datetime) -> datetime:
        """The last nominal time not after ``now``; ``scheduled`` is one of them."""
        # Years of a job of every minute must not be walked through: look back a little first.
        for seconds in (3_600, 86_400, 32 * 86_400):
            start = now - timedelta(seconds=seconds)
            if start > scheduled and (found := self.after(start)) <= now:
                return self._walk(found, now)
        return self._walk(scheduled, now)

    def _walk(self, moment: datetime, now: datetime) -> datetime:
        while (following := self.after(moment)) <= now:
            moment = following
        return moment


@lru_cache(maxsize=8_192)
def _after(expression: str, zone: ZoneInfo, moment: datetime) -> datetime:
    """Many triggers share their schedule."""
    minute, hour, *_ = expression.split()
    try:
        if minute.startswith("*") or hour.startswith("*"):
            return _as_the_clock_runs(expression, zone, moment)
        for candidate in CronSim(expression, moment.astimezone(zone)):
            # From inside a repeated hour cronsim answers with its first pass, which is over.
            if (instant := candidate.astimezone(UTC)) > moment:
                return instant
    except StopIteration:
        pass
    raise ScheduleError(f"cron_expression {expression!r} never comes true")


def _as_the_clock_runs(expression: str, zone: ZoneInfo, moment: datetime) -> datetime:
    """The first instant after ``moment`` at which the wall clock shows one of the times, however often it has:
    searched without a zone as far as the offset lasts. (With a zone cronsim misses some where clocks shift by
    half an hour.)"""
    offset = _offset(zone, moment)
    while True:
        wall = next(CronSim(expression, (moment + offset).replace(tzinfo=None)))
        instant = (wall - offset).replace(tzinfo=UTC)
        changed = _change(zone, offset, moment, instant)
        if changed is None:
            return instant
        # The instant of the change itself may be one.
        moment, offset = changed - timedelta(seconds=1), _offset(zone, changed)


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _change(zone: ZoneInfo, offset: timedelta, after: datetime, until: datetime) -> datetime | None:
    """The first whole second after ``after`` and not after ``until`` with another offset."""
    moment = after.astimezone(UTC).replace(microsecond=0)
    while moment < until:
        following = min(moment + timedelta(days=1), until)
        if _offset(zone, following) != offset:
            seconds = range(1, (following - moment) // timedelta(seconds=1) + 1)
            found = bisect_left(
                seconds, True, key=lambda second: _offset(zone, moment + timedelta(seconds=second)) != offset
            )
            return moment + timedelta(seconds=seconds[found])
        moment = following
    return None


@dataclass(frozen=True, slots=True)
class Interval:
    """Fires every ``seconds``, counted from its creation."""

    seconds: int
    start_immediately: bool = False

    @property
    def words(self) -> str:
        """The schedule for people."""
        return f"every {self.seconds} s"

    def first(self, created_at: datetime) -> datetime:
        """The creation itself with ``start_immediately``, else one interval later."""
        return created_at if self.start_immediately else self.after(created_at)

    def after(self, moment: datetime) -> datetime:
        """The nominal time that follows the nominal time ``moment``."""
        return moment.astimezone(UTC) + timedelta(seconds=self.seconds)

    def following(self, known: datetime, moment: datetime) -> datetime:
        """The first nominal time strictly after ``moment``, before or after the nominal time ``known``."""
        return self.after(self.latest(known, moment))

    def latest(self, known: datetime, now: datetime) -> datetime:
        """The last nominal time not after ``now``; ``known`` is one of them."""
        step = timedelta(seconds=self.seconds)
        # Instants may come with other zones, whose arithmetic is that of a wall clock.
        known = known.astimezone(UTC)
        return known + step * ((now.astimezone(UTC) - known) // step)


Schedule = Cron | Interval


class InitialState(TypedDict):
    """Columns of ``trigger_state`` that a new or resumed trigger starts with."""

    next_scheduled_at: datetime | None


def parse(trigger_type: str, schedule_config: Mapping[str, Any]) -> Schedule:
    """The schedule of a cron or interval trigger. Raises :class:`ScheduleError`."""
    if trigger_type == "cron":
        return _cron(schedule_config)
    if trigger_type == "interval":
        return _interval(schedule_config)
    raise ScheduleError(f"trigger_type {trigger_type!r} has no schedule; cron and interval have one")


def initial_state(trigger_type: str, schedule_config: Mapping[str, Any], now: datetime) -> InitialState:
    """What a trigger created (or resumed, or given another schedule) at ``now`` starts with; also the check
    that its ``schedule_config`` can work. Raises :class:`ScheduleError`.

    A conditional trigger on processing time is first checked at the next point of its grid; on event time the
    documents say when, so nothing is scheduled, as for event triggers (whose config is not looked at here).
    """
    if trigger_type == "event":
        return {"next_scheduled_at": None}
    if trigger_type != "conditional":
        return {"next_scheduled_at": parse(trigger_type, schedule_config).first(now)}
    condition = Condition.parse(schedule_config)
    if condition.time_domain == "event_time":
        return {"next_scheduled_at": None}
    return {"next_scheduled_at": grid.after(now, condition.check_interval_seconds)}


def is_overdue(status: str, trigger_type: str, next_due_at: datetime | None, now: datetime) -> bool:
    """Contract 4.7: active, scheduled by time, and its next time, with its jitter, has passed."""
    if status != "active" or trigger_type not in ("cron", "interval"):
        return False
    return next_due_at is not None and next_due_at < now


def _cron(config: Mapping[str, Any]) -> Cron:
    expression = config.get("cron_expression")
    if not isinstance(expression, str):
        raise ScheduleError("cron_expression is required: five fields, minute hour day month weekday")
    if (fields := len(expression.split())) != 5:
        raise ScheduleError(
            f"cron_expression {expression!r} has {fields} fields, not the five: minute hour day month weekday"
        )
    zone = _zone(config.get("timezone") or "UTC")
    _check(expression)
    return Cron(expression, zone)


@lru_cache(maxsize=8_192)
def _check(expression: str) -> None:
    try:
        CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC))
    except (CronSimError, AssertionError) as error:
        raise ScheduleError(f"cron_expression {expression!r} is not valid: {error}") from error


def _zone(name: object) -> ZoneInfo:
    try:
        if not isinstance(name, str):
            raise ValueError
        return ZoneInfo(name)
    # Depending on the spelling: not found (KeyError), a folder of the database (OSError), not a key (ValueError).
    except (KeyError, OSError, ValueError) as error:
        raise ScheduleError(f"timezone {name!r} is not an IANA time zone such as 'Europe/Berlin'") from error


def _interval(config: Mapping[str, Any]) -> Interval:
    seconds = config.get("interval_seconds")
    if type(seconds) is not int or not 1 <= seconds <= MAX_INTERVAL_SECONDS:
        raise ScheduleError(f"interval_seconds must be a whole number from 1 to {MAX_INTERVAL_SECONDS}")
    immediately = config.get("start_immediately") or False
    if type(immediately) is not bool:
        raise ScheduleError("start_immediately must be true or false")
    return Interval(seconds, immediately)
