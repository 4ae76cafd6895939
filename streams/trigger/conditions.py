"""Conditional triggers: make the checks of one trigger that are due, in one transaction."""

from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime
from itertools import islice

import structlog

from streams.engines.rules import grid
from streams.engines.rules.commands import command, job_id
from streams.engines.rules.condition import Condition
from streams.engines.rules.errors import ScheduleError
from streams.runtime import metrics
from streams.runtime.database import Connection, Database
from streams.runtime.faults import fault
from streams.runtime.jobs import queue_job
from streams.trigger import store
from streams.trigger.checks import Check, Checker
from streams.trigger.windows import window_start

log = structlog.get_logger(__name__)

CHECKS = 100
"""Most checks in one transaction: bounds how long a trigger's row stays locked."""


async def check_due(database: Database, trigger_id: str, until: datetime, now: datetime) -> bool:
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
        checks, more = await _check(database, trigger_id, until, now)
    except ValueError as error:
        # Of the definition (ScheduleError, an unknown metric) or of the sketches (dimensions differ).
        log.warning("trigger_failed", trigger_id=trigger_id, error=str(error))
        async with database.connection() as connection:
            await store.set_failed(connection, trigger_id, str(error))
        return False
    for check in checks:
        metrics.TRIGGER_CHECKS.labels(str(check.decision.fire).lower()).inc()
    if checks and checks[-1].decision.fire:
        metrics.TRIGGER_FIRES.labels("conditional").inc()
        return False
    return more


async def _check(
    database: Database, trigger_id: str, until: datetime, now: datetime
) -> tuple[Sequence[Check], bool]:
    """The checks recorded, and whether nominal times are left."""
    async with database.transaction() as connection:
        claimed = await store.claim_conditional(connection, trigger_id)
        if claimed is None:
            return (), False
        condition = Condition.parse(claimed.trigger.schedule_config)
        series = store.Series(
            claimed.trigger.collections,
            condition.feature_uri,
            condition.time_domain,
            condition.bucket_seconds,
        )
        # A series that is new is filled from stored documents first; half of it would look like a drift.
        if not await store.covered(connection, series):
            return (), False
        interval = condition.check_interval_seconds
        event_time = condition.time_domain == "event_time"
        next_at = None if event_time else grid.after(until, interval)
        if event_time:
            moments = await _event_times(connection, claimed, condition, series, until)
        else:
            moments = _processing_times(claimed, condition, until)
            if not moments and next_at is not None:
                await store.set_next(connection, trigger_id, next_at)
        if not moments:
            return (), False
        checks, idle = await _measure(connection, claimed, condition, series, moments)
        if checks:
            await store.write_checks(connection, trigger_id, checks, next_at, now)
        if checks and checks[-1].decision.fire:
            await _fire(connection, claimed, condition, checks[-1], now)
            more = False
        elif event_time:
            reached = await _passed_over(connection, series, moments[-1], until, interval) if idle else moments[-1]
            if not checks or checks[-1].at < reached:
                await store.set_checked(connection, trigger_id, reached)
            more = grid.after(reached, interval) <= until
        else:
            more = False
        await fault("trigger:before-commit")
        return checks, more


async def _passed_over(
    connection: Connection, series: store.Series, reached: datetime, until: datetime, interval: int
) -> datetime:
    """The last nominal time of an idle stretch: before the first check that sees a new bucket."""
    latest = grid.at_or_before(until, interval)
    end = await store.next_bucket(connection, series, reached)
    return latest if end is None else max(reached, min(latest, grid.before(end, interval)))


def _processing_times(claimed: store.Conditional, condition: Condition, until: datetime) -> list[datetime]:
    latest = grid.at_or_before(until, condition.check_interval_seconds)
    due = claimed.trigger.next_scheduled_at
    if due is None or due > latest:
        return []
    if claimed.last_check_at is not None and claimed.last_check_at >= latest:
        return []
    return [latest]


async def _event_times(
    connection: Connection,
    claimed: store.Conditional,
    condition: Condition,
    series: store.Series,
    until: datetime,
) -> list[datetime]:
    last = claimed.last_check_at
    if last is None:
        last = await store.earliest_bucket(connection, series)
    if last is None or last >= until:
        return []
    return list(islice(grid.due(last, until, condition.check_interval_seconds), CHECKS))


async def _measure(
    connection: Connection,
    claimed: store.Conditional,
    condition: Condition,
    series: store.Series,
    moments: Sequence[datetime],
) -> tuple[list[Check], bool]:
    """The checks at ``moments`` that are worth recording, up to the first that fires, and whether the last
    moment was idle."""
    checker = Checker(condition, claimed.state, claimed.baseline)
    since = window_start(condition, claimed.state.baseline_at, moments[0])
    checks: list[Check] = []
    # Of a window on processing time every check is recorded: there is one at a time.
    before = claimed.last_check_at if condition.time_domain == "event_time" else None
    idle = False
    stream = store.buckets(connection, series, since, moments[-1], sketches=condition.condition_type == "drift")
    async with aclosing(stream):
        bucket = await anext(stream, None)
        for moment in moments:
            fresh = before is None
            while bucket is not None and bucket.end <= moment:
                checker.add(bucket)
                fresh = fresh or (before is not None and bucket.end > before)
                bucket = await anext(stream, None)
            made = checker.check(moment)
            idle = checker.idle(made)
            if fresh or not idle:
                checks.append(made)
            if made.decision.fire:
                break
            before = moment if condition.time_domain == "event_time" else None
    return checks, idle


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


def parse_condition(trigger: store.Trigger) -> Condition | None:
    """The condition of a trigger, ``None`` when its definition cannot work (the check itself says why)."""
    try:
        return Condition.parse(trigger.schedule_config)
    except ScheduleError:
        return None
