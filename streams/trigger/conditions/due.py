"""Conditional triggers: make the checks of one trigger that are due, in one transaction."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice

import structlog

from streams.engines.rules import grid
from streams.engines.rules.commands import command, job_id
from streams.engines.rules.condition import Condition
from streams.engines.rules.errors import ScheduleError
from streams.engines.rules.rollup import cover
from streams.runtime import metrics
from streams.runtime.clock import CLOCKS_DIFFER
from streams.runtime.database import Connection, Database
from streams.runtime.faults import fault
from streams.runtime.jobs import queue_job
from streams.trigger.conditions import series, store
from streams.trigger.conditions.checks import Check, Checker, Memory, reads
from streams.trigger.conditions.merges import Merges
from streams.trigger.conditions.series import Series
from streams.trigger.conditions.unpacked import Unpacked
from streams.trigger.conditions.windows import Held, back, window_start
from streams.trigger.triggers import Trigger, set_failed

log = structlog.get_logger(__name__)

CHECKS = 100
"""Most checks in one transaction: bounds how long a trigger's row stays locked."""


async def check_due(
    database: Database, trigger_id: str, until: datetime, now: datetime, unpacked: Unpacked
) -> bool:
    """Make the checks of one trigger whose nominal time has come, in order, up to a fire.

    ``until``: how far time has come in the trigger's domain (``now``, or the watermark). On processing time
    those that were missed are skipped, only the latest is checked. On event time every nominal time is checked,
    except in idle stretches: where no bucket ends between two checks and the window holds nothing (or only ever
    grows, and does not exceed the threshold), the later check would be insufficient or decide just as the
    earlier one did. Such checks are not recorded, and a stretch without buckets is passed over in one step, so
    the work is bounded by the number of buckets, times window by interval for a window that slides, and not by
    the time between the oldest document and the newest.

    Returns whether more are due at once. A trigger whose definition cannot work gets status ``failed``.
    """
    try:
        checks, more = await _check(database, trigger_id, until, now, unpacked)
    except ValueError as error:
        # Of the definition (ScheduleError, an unknown metric) or of the sketches (dimensions differ).
        log.warning("trigger_failed", trigger_id=trigger_id, error=str(error))
        async with database.connection() as connection:
            await set_failed(connection, trigger_id, str(error))
        return False
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
    claim = store.Claim("")
    async with database.transaction(first=claim.ask) as connection:
        await claim.claimed()
        await series.facts(connection, nobody, (), first=False)
        for sketches in (False, True):
            await series.read_rows(connection, nobody, (), sketches=sketches, unpacked=Unpacked())
        await store.write_window(connection, "", None)


async def _check(
    database: Database, trigger_id: str, until: datetime, now: datetime, unpacked: Unpacked
) -> tuple[Sequence[Check], bool]:
    """The checks recorded, and whether nominal times are left."""
    claim = store.Claim(trigger_id)
    async with database.transaction(first=claim.ask) as connection:
        claimed = await claim.claimed()
        if claimed is None:
            return (), False
        condition = Condition.parse(claimed.trigger.schedule_config)
        reading = Series.of(claimed.trigger.collections, condition)
        memory = await _memory(connection, claimed, condition, reading)
        if memory is None:
            return (), False
        interval = condition.check_interval_seconds
        event_time = condition.time_domain == "event_time"
        next_at = None if event_time else grid.after(until, interval)
        if next_at is not None and claimed.decided_at is not None and claimed.decided_at > now + CLOCKS_DIFFER:
            log.warning("clock_went_back", trigger_id=trigger_id, now=now.isoformat())
            await store.turn_back(connection, trigger_id, grid.at_or_before(until, interval), next_at, now)
            return (), False
        if event_time:
            last, moments = _event_times(claimed, condition, memory, until)
            if last is not None and last != claimed.last_check_at and not moments:
                await store.set_checked(connection, trigger_id, last)
        else:
            moments = _processing_times(claimed, condition, memory, until)
            if not moments and next_at is not None:
                await store.set_next(connection, trigger_id, next_at, now)
        if not moments:
            return (), False
        merges = None if condition.window_seconds is None else Merges(trigger_id)
        checks, held, idle = await _measure(
            connection, claimed, condition, reading, memory, moments, unpacked, merges
        )
        # One round trip.
        async with connection.pipeline():
            if held is not None or claimed.held is not None:
                await store.write_window(connection, trigger_id, held)
            if checks:
                await store.write_checks(connection, trigger_id, checks, next_at, now)
            if merges is not None and condition.window_seconds is not None:
                await merges.write(connection, back(moments[-1], condition.window_seconds))
        if checks and checks[-1].decision.fire:
            await _fire(connection, claimed, condition, checks[-1], now)
            more = False
        elif event_time:
            reached = (
                await _passed_over(connection, reading, moments[-1], until, interval) if idle else moments[-1]
            )
            if not checks or checks[-1].at < reached:
                await store.set_checked(connection, trigger_id, reached)
            more = grid.after(reached, interval) <= until
        else:
            more = False
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
    connection: Connection, claimed: store.Conditional, condition: Condition, reading: Series
) -> Memory | None:
    """What the trigger remembers, with the window that grows only if that is still all that came in it: what is
    read late, or was put into an old bucket, would be missing for ever. ``None`` for a series that is new: it is
    filled from stored documents first; half of it would look like a drift."""
    held, spans = claimed.held, []
    if held is not None:
        since = window_start(condition, claimed.state.baseline_at, held.until)
        if condition.window_seconds is not None or held.window.since != since:
            held = None
        else:
            spans = cover(since, held.until, condition.bucket_seconds)
    first = claimed.last_check_at is None or claimed.baseline is None
    found = await series.facts(connection, reading, spans, first=first)
    if not found.covered:
        return None
    if held is not None and found.documents != held.window.documents:
        held = None
    return Memory(claimed.state, claimed.baseline, held, found.first)


def _processing_times(
    claimed: store.Conditional, condition: Condition, memory: Memory, until: datetime
) -> list[datetime]:
    latest = grid.at_or_before(until, condition.check_interval_seconds)
    due = claimed.trigger.next_scheduled_at
    if due is None or due > latest:
        return []
    if claimed.last_check_at is not None and claimed.last_check_at >= latest:
        return []
    waits = _waits_until(condition, memory)
    return [] if waits is not None and latest < waits else [latest]


def _event_times(
    claimed: store.Conditional, condition: Condition, memory: Memory, until: datetime
) -> tuple[datetime | None, list[datetime]]:
    """The nominal time up to which nothing is left to check, and those to check now."""
    interval = condition.check_interval_seconds
    last = claimed.last_check_at
    begin = memory.first if last is None else last
    if begin is None or begin >= until:
        return last, []
    waits = _waits_until(condition, memory)
    if waits is not None and waits > begin:
        last = begin = min(grid.before(waits, interval), grid.at_or_before(until, interval))
    return last, list(islice(grid.due(begin, until, interval), CHECKS))


def _waits_until(condition: Condition, memory: Memory) -> datetime | None:
    """Before this instant there is nothing to check: the period of the baseline has not ended."""
    if memory.baseline is not None or condition.condition_type == "volume":
        return None
    return condition.baseline.end(memory.first)


async def _measure(
    connection: Connection,
    claimed: store.Conditional,
    condition: Condition,
    reading: Series,
    memory: Memory,
    moments: Sequence[datetime],
    unpacked: Unpacked,
    merges: Merges | None,
) -> tuple[list[Check], Held | None, bool]:
    """The checks at ``moments`` that are worth recording, up to the first that fires, the window that grows after
    them, and whether the last moment was idle."""
    # On processing time every check is recorded: there is one at a time.
    event_time = condition.time_domain == "event_time"
    before = claimed.last_check_at if event_time else None
    spans = reads(condition, memory, before, moments)
    drift = condition.condition_type == "drift"
    rows = await series.read_rows(connection, reading, spans, sketches=drift, unpacked=unpacked, merges=merges)
    checker = Checker(condition, memory, rows)
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
        before = moment if event_time else None
    return checks, checker.memory.held, idle


async def _fire(
    connection: Connection, claimed: store.Conditional, condition: Condition, check: Check, now: datetime
) -> None:
    trigger = claimed.trigger
    order = command(
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
        await store.set_pending(connection, trigger.trigger_id, order.job_id)


def parse_condition(trigger: Trigger) -> Condition | None:
    """The condition of a trigger, ``None`` when its definition cannot work (the check itself says why)."""
    try:
        return Condition.parse(trigger.schedule_config)
    except ScheduleError:
        return None
