"""What a schedule that is due asks for: which nominal times fire, wait, or are skipped (design section 6). Pure.

The semantics are those of Temporal's Schedules (docs/decisions/013). Nominal times are gone through in order;
each is due its jitter after itself. Those that were due before the catch-up window are skipped. Of the others

=============  ===========================================================================================
overlap        a nominal time that is due
=============  ===========================================================================================
``skip``       fires when no run of the trigger is open (waiting or running), else it is skipped
``buffer_one`` likewise, but the first that would be skipped waits and fires when no run is open any more
``allow_all``  fires
=============  ===========================================================================================

Every hour, down from 01:30 to 04:30, no run open then: ``skip`` fires 02:00 and skips 03:00 and 04:00, as the
run of 02:00 is open from then on; ``buffer_one`` fires 02:00, keeps 03:00 and skips 04:00; ``allow_all`` fires
all three.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, cast, get_args

from schemas.times import format_instant
from streams.engines.rules.errors import ScheduleError
from streams.engines.rules.schedule import Schedule

OverlapPolicy = Literal["skip", "buffer_one", "allow_all"]
CATCHUP_SECONDS: Final = 365 * 86_400
"""The catch-up window that is not given: a year, as Temporal's."""
AT_ONCE: Final = 100
"""Most fires of one decision; the rest are due at once in the next."""
COUNTED: Final = 1_000
"""Skipped nominal times are counted up to this many: years of a job of every minute are not walked through."""
_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Policy:
    """How a schedule is kept."""

    overlap: OverlapPolicy = "skip"
    catchup: timedelta = timedelta(seconds=CATCHUP_SECONDS)
    jitter: timedelta = timedelta(0)

    @classmethod
    def parse(cls, schedule_config: Mapping[str, Any]) -> "Policy":
        """The policy of a ``schedule_config``. Raises :class:`ScheduleError`."""
        overlap = schedule_config.get("overlap_policy") or "skip"
        if overlap not in get_args(OverlapPolicy):
            raise ScheduleError(f"overlap_policy must be one of {', '.join(get_args(OverlapPolicy))}")
        return cls(
            cast(OverlapPolicy, overlap),
            _seconds(schedule_config, "catchup_window_seconds", CATCHUP_SECONDS),
            _seconds(schedule_config, "jitter_seconds", 0),
        )


@dataclass(frozen=True, slots=True)
class Pending:
    """Where a trigger stands."""

    next_scheduled_at: datetime
    """The first nominal time nothing was decided about."""
    buffered_at: datetime | None = None
    """The nominal time that waits for the open run to end."""
    running: bool = False
    """Whether a run of the trigger is open."""


@dataclass(frozen=True, slots=True)
class Fire:
    """A nominal time to run."""

    nominal_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nominal times that will not be run, one after the other."""

    first_at: datetime
    before: datetime
    """The nominal time after the last of them."""
    count: int
    """At most :data:`COUNTED`, which stands for that many or more."""
    why: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done now, and where the trigger stands after it."""

    next_scheduled_at: datetime
    next_due_at: datetime
    """When the next nominal time is due: itself and its jitter."""
    fires: tuple[Fire, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    buffered_at: datetime | None = None


def decide(trigger_id: str, schedule: Schedule, policy: Policy, at: Pending, now: datetime) -> Decision:
    """What is due at ``now``. Deciding again from the same arguments gives the same. Raises
    :class:`ScheduleError` for a cron expression that never comes true."""
    fires: list[Fire] = []
    skipped: list[Skipped] = []
    nominal, buffered, open_run = at.next_scheduled_at, at.buffered_at, at.running

    def due(moment: datetime) -> datetime:
        return due_at(trigger_id, schedule, policy, moment)

    def first_due_after(known: datetime, moment: datetime) -> datetime:
        last = schedule.latest(known, moment)
        return last if due(last) > moment else schedule.after(last)

    if buffered is not None and not open_run:
        fires.append(_fire(schedule, buffered, ", kept until the run before it was over"))
        buffered, open_run = None, True
    oldest = now - policy.catchup
    if due(nominal) < oldest:
        kept = first_due_after(nominal, oldest - _TICK)
        why = f"older than the catch-up window of {policy.catchup.total_seconds():g} s"
        skipped.append(_skip(schedule, nominal, kept, why))
        nominal = kept
    while due(nominal) <= now:
        if policy.overlap == "allow_all":
            if len(fires) == AT_ONCE:
                break
        elif open_run and policy.overlap == "buffer_one" and buffered is None:
            buffered, nominal = nominal, schedule.after(nominal)
            continue
        elif open_run:
            end = first_due_after(nominal, now)
            why = f"the run before was not over (overlap_policy {policy.overlap})"
            skipped.append(_skip(schedule, nominal, end, why))
            nominal = end
            break
        fires.append(_fire(schedule, nominal))
        nominal, open_run = schedule.after(nominal), True
    return Decision(nominal, due(nominal), tuple(fires), tuple(skipped), buffered)


def due_at(trigger_id: str, schedule: Schedule, policy: Policy, nominal: datetime) -> datetime:
    """When a nominal time is due: up to ``policy.jitter`` after it and before the next one, always the same for
    this trigger and nominal time."""
    if not policy.jitter:
        return nominal
    gap = schedule.after(nominal) - nominal
    most = min(policy.jitter, gap - _TICK) // timedelta(milliseconds=1)
    text = f"{trigger_id}\x00{format_instant(nominal)}"
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"tw-jitter").digest()
    return nominal + timedelta(milliseconds=int.from_bytes(digest) % (most + 1))


def between(schedule: Schedule, known: datetime, start: datetime, end: datetime, most: int) -> list[datetime]:
    """The nominal times from ``start`` up to ``end``, both included; no more than ``most`` and one. ``known`` is
    any nominal time."""
    found: list[datetime] = []
    nominal = schedule.following(known, start - _TICK)
    while nominal <= end and len(found) <= most:
        found.append(nominal)
        nominal = schedule.after(nominal)
    return found


def _fire(schedule: Schedule, nominal: datetime, more: str = "") -> Fire:
    return Fire(nominal, f"{schedule.words} due at {format_instant(nominal)}{more}")


def _skip(schedule: Schedule, first: datetime, before: datetime, why: str) -> Skipped:
    counted = between(schedule, first, first, before - _TICK, COUNTED - 1)
    return Skipped(first, before, len(counted), why)


def _seconds(config: Mapping[str, Any], key: str, default: int) -> timedelta:
    value = config.get(key)
    if value is None:
        value = default
    if type(value) is not int or not 0 <= value <= 366 * 86_400:
        raise ScheduleError(f"{key} must be a whole number of seconds, at most a year")
    return timedelta(seconds=value)
