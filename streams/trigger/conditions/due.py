"""Conditional triggers: make the checks of one trigger that are due, in one transaction."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from schemas.events.trigger import TriggerCommand
from streams.engines.rules import grid
from streams.engines.rules.commands import command, job_id
from streams.engines.rules.condition import Condition
from streams.engines.rules.errors import ScheduleError
from streams.runtime import metrics
from streams.runtime.clock import CLOCKS_DIFFER
from streams.runtime.database import Connection, Database
from streams.runtime.faults import fault
from streams.runtime.jobs import queue_job
from streams.trigger.conditions import series, store
from streams.trigger.conditions.ahead import (
    Ahead,
    ask_ahead,
    facts_wanted,
    nominal_times,
    rows_wanted,
    seen_until,
    still_growing,
)
from streams.trigger.conditions.checks import Check, Checker, Memory
from streams.trigger.conditions.merges import Merges
from streams.trigger.conditions.reading import RowsWanted
from streams.trigger.conditions.series import FactsWanted, Series
from streams.trigger.conditions.store import Claim, Conditional
from streams.trigger.conditions.unpacked import Unpacked
from streams.trigger.conditions.windows import back
from streams.trigger.triggers import Trigger, set_failed

log = structlog.get_logger(__name__)


async def check_due(
    database: Database,
    trigger_id: str,
    until: datetime,
    now: datetime,
    unpacked: Unpacked,
    listed: Conditional | None = None,
) -> bool:
    """Make the checks of one trigger whose nominal time has come, in order, up to a fire.

    ``until``: how far time has come in the trigger's domain (``now``, or the watermark). On processing time
    those that were missed are skipped, only the latest is checked. On event time every nominal time is checked,
    except in idle stretches: where no bucket ends between two checks and the window holds nothing (or only ever
    grows, and does not exceed the threshold), the later check would be insufficient or decide just as the
    earlier one did. Such checks are not recorded, and a stretch without buckets is passed over in one step, so
    the work is bounded by the number of buckets, times window by interval for a window that slides, and not by
    the time between the oldest document and the newest.

    ``listed`` is the trigger as it was found to be due: it saves round trips, as long as it still is like that.
    Returns whether more are due at once. A trigger whose definition cannot work gets status ``failed``.
    """
    checks, more = await _check(database, trigger_id, until, now, unpacked, listed)
    for check in checks:
        metrics.TRIGGER_CHECKS.labels(str(check.decision.fire).lower()).inc()
    if checks and checks[-1].decision.fire:
        metrics.TRIGGER_FIRES.labels("conditional").inc()
        return False
    return more


async def make_ready(database: Database) -> None:
    """Have the database plan what a check asks, so that the first one of a worker does not wait for it. Plans
    belong to a connection: the first check on each further one of the pool makes its own."""
    nobody = Series((), "", "event_time", 1)
    claim = Claim("")
    async with database.pipelined() as connection:
        await claim.ask(connection)
        await FactsWanted(nobody, (), first=False).ask(connection)
        for sketches in (False, True):
            await RowsWanted(nobody, (), sketches, None).ask(connection, Unpacked())
        await store.write_window(connection, "", None)
        await claim.claimed()


async def _check(
    database: Database,
    trigger_id: str,
    until: datetime,
    now: datetime,
    unpacked: Unpacked,
    listed: Conditional | None,
) -> tuple[Sequence[Check], bool]:
    """The checks recorded, and whether nominal times are left."""
    claim = Claim(trigger_id)
    async with database.pipelined() as connection:
        await claim.ask(connection)
        ahead = Ahead() if listed is None else await ask_ahead(connection, listed, until, unpacked)
        try:
            claimed = await claim.claimed()
            if claimed is None:
                return (), False
            return await _checked(connection, claimed, ahead, until, now, unpacked)
        except ValueError as error:
            # Of the definition (ScheduleError, an unknown metric) or of the sketches (dimensions differ); nothing
            # is written yet. While the trigger is locked: whoever mends it then comes after this.
            log.warning("trigger_failed", trigger_id=trigger_id, error=str(error))
            await set_failed(connection, trigger_id, str(error))
            return (), False


async def _checked(
    connection: Connection, claimed: Conditional, ahead: Ahead, until: datetime, now: datetime, unpacked: Unpacked
) -> tuple[Sequence[Check], bool]:
    """As :func:`_check`, of a trigger that is locked. Raises ``ValueError`` before anything is written."""
    trigger_id = claimed.trigger.trigger_id
    condition = Condition.parse(claimed.trigger.schedule_config)
    reading = Series.of(claimed.trigger.collections, condition)
    memory = await _memory(connection, claimed, condition, reading, ahead)
    if memory is None:
        return (), False
    interval = condition.check_interval_seconds
    event_time = condition.time_domain == "event_time"
    next_at = None if event_time else grid.after(until, interval)
    if next_at is not None and claimed.decided_at is not None and claimed.decided_at > now + CLOCKS_DIFFER:
        log.warning("clock_went_back", trigger_id=trigger_id, now=now.isoformat())
        await store.turn_back(connection, trigger_id, grid.at_or_before(until, interval), next_at, now)
        return (), False
    last, moments = nominal_times(claimed, condition, memory, until)
    if not moments:
        if next_at is not None:
            await store.set_next(connection, trigger_id, next_at, now)
        elif last is not None and last != claimed.last_check_at:
            await store.set_checked(connection, trigger_id, last)
        return (), False
    wanted = rows_wanted(claimed, condition, reading, memory, moments)
    asked = ahead.rows
    if asked is None or asked.wanted != wanted:
        asked = await wanted.ask(connection, unpacked)
    merges = None if condition.window_seconds is None else Merges(trigger_id)
    checker = Checker(condition, memory, await asked.answer(unpacked, merges))
    checks, idle = _measured(checker, condition, moments, seen_until(claimed, condition))
    held = checker.memory.held
    fires = bool(checks) and checks[-1].decision.fire
    # Before anything is written: the definition may not say what to do.
    order = _order(claimed.trigger, condition, checks[-1], now) if fires else None
    if checks:
        await store.write_checks(connection, trigger_id, checks, held, next_at, now)
    elif held is not None or claimed.held is not None:
        await store.write_window(connection, trigger_id, held)
    if merges is not None and condition.window_seconds is not None:
        await merges.write(connection, back(moments[-1], condition.window_seconds))
    more = False
    if order is not None:
        await _fire(connection, order, checks[-1])
    elif event_time:
        reached = await _passed_over(connection, reading, moments[-1], until, interval) if idle else moments[-1]
        if not checks or checks[-1].at < reached:
            await store.set_checked(connection, trigger_id, reached)
        more = grid.after(reached, interval) <= until
    await fault("trigger:before-commit")
    return checks, more


async def _passed_over(
    connection: Connection, reading: Series, reached: datetime, until: datetime, interval: int
) -> datetime:
    """The last nominal time of an idle stretch: before the first check that sees a new bucket."""
    latest = grid.at_or_before(until, interval)
    end = await series.next_bucket(connection, reading, reached)
    return latest if end is None else max(reached, min(latest, grid.before(end, interval)))


async def _memory(
    connection: Connection, claimed: Conditional, condition: Condition, reading: Series, ahead: Ahead
) -> Memory | None:
    """What the trigger remembers, with the window that grows only if that is still all that came in it: what is
    read late, or was put into an old bucket, would be missing for ever. ``None`` for a series that is new: it is
    filled from stored documents first; half of it would look like a drift."""
    wanted, asked = facts_wanted(claimed, condition, reading), ahead.facts
    if asked is None or asked.wanted != wanted:
        asked = await wanted.ask(connection)
    found = await asked.answer()
    if not found.covered:
        return None
    held = still_growing(claimed, condition)
    if held is not None and found.documents != held.window.documents:
        held = None
    return Memory(claimed.state, claimed.baseline, held, found.first)


def _measured(
    checker: Checker, condition: Condition, moments: Sequence[datetime], before: datetime | None
) -> tuple[list[Check], bool]:
    """The checks at ``moments`` that are worth recording, up to the first that fires, and whether the last moment
    was idle. ``before``: since when it matters whether anything came."""
    checks: list[Check] = []
    idle = False
    for moment in moments:
        fresh = before is None or checker.came(before, moment)
        made = checker.check(moment)
        idle = checker.idle(made)
        if fresh or not idle:
            checks.append(made)
        if made.decision.fire:
            break
        before = moment if condition.time_domain == "event_time" else None
    return checks, idle


def _order(trigger: Trigger, condition: Condition, check: Check, now: datetime) -> TriggerCommand:
    return command(
        trigger.trigger_id,
        trigger.namespace_id,
        trigger.family,
        trigger.body,
        job_id=job_id(trigger.trigger_id, check.at),
        nominal_at=check.at,
        triggered_at=now,
        reason=check.decision.reason,
        until=check.at if condition.time_domain == "event_time" else None,
        measurement=check.measurement,
    )


async def _fire(connection: Connection, order: TriggerCommand, check: Check) -> None:
    assert check.baseline is not None
    sketch = check.baseline.sketch
    queued = await queue_job(
        connection,
        order,
        baseline_sketch=None if sketch is None else sketch.to_bytes(),
        baseline_snapshot=check.baseline.snapshot,
    )
    # A job that was there before may have ended long ago: waiting for it would be waiting for ever.
    if queued:
        await store.set_pending(connection, order.trigger_id, order.job_id)


def parse_condition(trigger: Trigger) -> Condition | None:
    """The condition of a trigger, ``None`` when its definition cannot work (the check itself says why)."""
    try:
        return Condition.parse(trigger.schedule_config)
    except ScheduleError:
        return None
