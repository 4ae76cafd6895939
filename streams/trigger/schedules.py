"""Cron and interval triggers: claim what is due and queue its jobs, in one transaction."""

from datetime import datetime

import structlog

from streams.engines.rules import schedule
from streams.engines.rules.commands import command, job_id
from streams.engines.rules.errors import ScheduleError
from streams.runtime import metrics
from streams.runtime.database import Database
from streams.runtime.faults import fault
from streams.runtime.jobs import queue_job
from streams.trigger import store

log = structlog.get_logger(__name__)

CLAIM = 100
"""Most triggers in one transaction."""


async def fire_due(database: Database, now: datetime) -> int:
    """Fire one batch of triggers that are due at ``now``; returns how many were looked at.

    Claims skip rows that another station holds, the next time moves in the same transaction, and the job's id
    derives from the nominal time: each nominal time fires exactly once, however many stations run.
    """
    fired: list[str] = []
    async with database.transaction() as connection:
        triggers = await store.claim_scheduled(connection, now, CLAIM)
        for trigger in triggers:
            assert trigger.next_scheduled_at is not None
            try:
                plan = schedule.parse(trigger.trigger_type, trigger.schedule_config)
                fire = schedule.due(plan, trigger.next_scheduled_at, now)
                if fire is None:
                    continue
                order = command(
                    trigger.trigger_id,
                    trigger.namespace_id,
                    trigger.family,
                    trigger.body,
                    job_id=job_id(trigger.trigger_id, fire.nominal_at),
                    nominal_at=fire.nominal_at,
                    triggered_at=now,
                    reason=fire.reason,
                )
            except ScheduleError as error:
                log.warning("trigger_failed", trigger_id=trigger.trigger_id, error=str(error))
                await store.set_failed(connection, trigger.trigger_id, str(error))
                continue
            await store.set_next(connection, trigger.trigger_id, fire.next_scheduled_at)
            if await queue_job(connection, order):
                fired.append(trigger.trigger_type)
        await fault("trigger:before-commit")
    for trigger_type in fired:
        metrics.TRIGGER_FIRES.labels(trigger_type).inc()
    return len(triggers)
