"""Past nominal times of a schedule as jobs of their own. Pure."""

from datetime import UTC, datetime
from typing import Final

from schemas.api.schedule import BackfillRequest
from schemas.events.trigger import TriggerCommand, TriggerFamily
from schemas.times import format_instant
from streams.engines.rules.commands import backfill_job_id, command
from streams.engines.rules.due import between
from streams.engines.rules.schedule import parse
from streams.runtime.definitions import StoredDefinition
from streams.runtime.http.errors import conflict

MOST: Final = 1_000
"""Nominal times of one request."""
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)


def backfill(
    stored: StoredDefinition,
    family: TriggerFamily,
    anchor_at: datetime | None,
    request: BackfillRequest,
    now: datetime,
) -> list[TriggerCommand]:
    """The jobs of a range. Their ids derive from trigger and nominal time, so asking again gives the same jobs.
    ``anchor_at`` is a nominal time of the schedule: an interval's are counted from it. Raises 409 for a trigger
    without a schedule, and for a range that is not over or holds too many."""
    body, trigger_id = stored.body, stored.record.id
    if body["trigger_type"] not in ("cron", "interval"):
        raise conflict(f"Only cron and interval triggers have nominal times, not {body['trigger_type']} ones")
    if request.start_at < EARLIEST:
        raise conflict(f"start_at must not be before {format_instant(EARLIEST)}", "body", "start_at")
    if request.end_at > now:
        raise conflict(
            f"end_at must not be after now ({format_instant(now)}): later nominal times fire by themselves",
            *("body", "end_at"),
        )
    plan = parse(body["trigger_type"], body["schedule_config"])
    known = anchor_at or plan.first(stored.created_at)
    nominal_times = between(plan, known, request.start_at, request.end_at, MOST)
    if len(nominal_times) > MOST:
        raise conflict(
            f"The range holds more than {MOST} nominal times; the {MOST}th is"
            f" {format_instant(nominal_times[MOST - 1])}: ask for a part of it at a time",
            *("body", "end_at"),
        )
    return [
        command(
            trigger_id,
            stored.record.namespace_id,
            family,
            body,
            job_id=backfill_job_id(trigger_id, nominal),
            nominal_at=nominal,
            triggered_at=now,
            reason=f"{plan.words} backfilled for {format_instant(nominal)}",
            fired_by="backfill",
        )
        for nominal in nominal_times
    ]
