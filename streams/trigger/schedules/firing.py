"""Cron and interval triggers: claim what is due and queue its jobs, in one transaction."""

from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from schemas.events.trigger import TriggerCommand
from streams.engines.rules import schedule
from streams.engines.rules.commands import command, job_id
from streams.engines.rules.due import AT_ONCE, Decision, Policy, decide, due_at
from streams.engines.rules.errors import ScheduleError
from streams.runtime import metrics
from streams.runtime.database import Database
from streams.runtime.faults import fault
from streams.runtime.jobs import queue_jobs, record_skips
from streams.trigger.schedules.claims import Claimed, Move, anything_due, claim_ahead, claim_due, write_moves
from streams.trigger.schedules.skipping import Entry, entries
from streams.trigger.triggers import Trigger, set_failed

log = structlog.get_logger(__name__)

CLAIM: Final = 1_000
"""Most triggers in one transaction."""
MOST_FIRES: Final = 2_000
"""Fires after which a transaction takes no further trigger's: the others wait for the next."""


async def fire_due(database: Database, now: datetime) -> bool:
    """Decide about one batch of triggers that are due at ``now``; true when there may be more.

    Claims skip rows that another station holds, the next time moves in the same transaction, and the job's id
    derives from the nominal time: each nominal time fires exactly once, however many stations run.
    """
    async with database.connection() as connection:
        if not await anything_due(connection, now):
            return False
    async with database.transaction() as connection:
        claimed = await claim_due(connection, now, CLAIM)
        if not claimed:
            return False
        more = len(claimed) == CLAIM
        moves: list[Move] = []
        commands: list[TriggerCommand] = []
        skips: list[Entry] = []
        for one in claimed:
            if len(commands) >= MOST_FIRES:
                more = True
                break
            try:
                move, orders, skipped = _decided(one, now)
            except ScheduleError as error:
                log.warning("trigger_failed", trigger_id=one.trigger.trigger_id, error=str(error))
                await set_failed(connection, one.trigger.trigger_id, str(error))
                continue
            more = more or len(orders) >= AT_ONCE
            moves.append(move)
            commands += orders
            skips += skipped
        await fault("trigger:after-claim")
        fresh = await queue_jobs(connection, commands)
        newest = {order.trigger_id: order for order in fresh}
        await write_moves(connection, [replace(move, newest=newest.get(move.trigger_id)) for move in moves], now)
        await record_skips(connection, skips)
        await fault("trigger:before-commit")
    await fault("trigger:after-commit")
    types = {one.trigger.trigger_id: one.trigger.trigger_type for one in claimed}
    for trigger_type, count in Counter(types[order.trigger_id] for order in fresh).items():
        metrics.TRIGGER_FIRES.labels(trigger_type).inc(count)
    return more


def _decided(one: Claimed, now: datetime) -> tuple[Move, list[TriggerCommand], list[Entry]]:
    trigger = one.trigger
    plan = schedule.parse(trigger.trigger_type, trigger.schedule_config)
    policy, at = Policy.parse(trigger.schedule_config), one.at
    if one.fired:
        at = replace(at, next_scheduled_at=plan.after(at.next_scheduled_at))
    decision = decide(trigger.trigger_id, plan, policy, at, now)
    skipped, skipping = entries(trigger, plan.words, decision, one.skipping, now)
    move = Move(
        trigger.trigger_id, decision.next_scheduled_at, decision.next_due_at, decision.buffered_at, skipping
    )
    return move, _commands(trigger, decision, now), skipped


def _commands(trigger: Trigger, decision: Decision, now: datetime) -> list[TriggerCommand]:
    return [
        command(
            trigger.trigger_id,
            trigger.namespace_id,
            trigger.family,
            trigger.body,
            job_id=job_id(trigger.trigger_id, fire.nominal_at),
            nominal_at=fire.nominal_at,
            triggered_at=now,
            reason=fire.reason,
        )
        for fire in decision.fires
    ]


async def turn_back(database: Database, now: datetime) -> int:
    """Give triggers that a clock ahead of ``now`` has moved on their next nominal time after ``now`` again;
    returns how many. Without it a clock that was a year ahead for a moment would silence them for a year. What
    has fired already is not fired again: its job is there."""
    async with database.transaction() as connection:
        moves = []
        for trigger in await claim_ahead(connection, now, CLAIM):
            assert trigger.next_scheduled_at is not None
            try:
                plan = schedule.parse(trigger.trigger_type, trigger.schedule_config)
                policy = Policy.parse(trigger.schedule_config)
                nominal = min(trigger.next_scheduled_at, plan.following(trigger.next_scheduled_at, now))
                due = due_at(trigger.trigger_id, plan, policy, nominal)
            except ScheduleError as error:
                await set_failed(connection, trigger.trigger_id, str(error))
                continue
            moves.append(Move(trigger.trigger_id, nominal, due))
        await write_moves(connection, moves, now)
    if moves:
        log.warning("clock_went_back", triggers=len(moves), now=now.isoformat())
    return len(moves)
