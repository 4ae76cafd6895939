"""Nominal times that are not run, as the history tells them: one entry for a stretch, however long it is. Pure.

A job of every minute whose run takes an hour skips 59 nominal times: they are one entry, written with the first
and rewritten, under the same id and a higher revision, as it grows. The stretch ends when the trigger fires.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from schemas.events.trigger import TriggerCommand, TriggerResult
from schemas.ids import derived_id
from schemas.times import format_instant, parse_instant
from streams.engines.rules.commands import command
from streams.engines.rules.due import COUNTED, Decision, Skipped
from streams.trigger.triggers import Trigger

Stretch = Mapping[str, Any]
"""What is kept of the last one: ``first_at``, ``triggered_at``, ``count``, ``exact``, ``revision``, ``why``."""
Entry = tuple[TriggerCommand, TriggerResult]


def entries(
    trigger: Trigger, words: str, decision: Decision, held: Stretch | None, now: datetime
) -> tuple[list[Entry], Stretch | None]:
    """The entries to write and the stretch that may still grow. ``words`` are the schedule's."""
    found: list[Entry] = []
    if decision.fires:
        held = None
    for skipped in decision.skipped:
        held = _grown(held, skipped, now)
        found.append(_entry(trigger, words, held, skipped.before, now))
    return found, held


def _grown(held: Stretch | None, skipped: Skipped, now: datetime) -> Stretch:
    if held is None or held["why"] != skipped.why:
        held = {
            "first_at": format_instant(skipped.first_at),
            "triggered_at": format_instant(now),
            "count": 0,
            "exact": True,
            "revision": 0,
            "why": skipped.why,
        }
    return {
        **held,
        "count": held["count"] + skipped.count,
        "exact": held["exact"] and skipped.count < COUNTED,
        "revision": held["revision"] + 1,
    }


def _entry(trigger: Trigger, words: str, stretch: Stretch, before: datetime, now: datetime) -> Entry:
    first_at, count = stretch["first_at"], stretch["count"]
    if count == 1:
        times = f"due at {first_at}"
    else:
        number = str(count) if stretch["exact"] else f"{count} or more"
        times = f"{number} nominal times from {first_at} to before {format_instant(before)}"
    order = command(
        trigger.trigger_id,
        trigger.namespace_id,
        trigger.family,
        trigger.body,
        job_id=derived_id("job_", trigger.trigger_id, "skipped", first_at),
        nominal_at=parse_instant(first_at),
        triggered_at=parse_instant(stretch["triggered_at"]),
        reason=f"{words} {times} skipped: {stretch['why']}",
    )
    outcome = {"skipped": count, "exact": stretch["exact"], "first_at": first_at, "before": format_instant(before)}
    return order, order.result("skipped", stretch["revision"], finished_at=now, outcome=outcome)
