"""Cooldown: after a fire, further fires are held back for a while (contract 4.2 and 4.8). Pure.

The caller chooses the clock: a document's append time, a check's nominal time, or the wall clock. Within one
alert or trigger it must always be the same one.
"""

from datetime import UTC, datetime, timedelta

from schemas.times import format_instant
from streams.engines.rules.decision import Decision


def decide(last_fired_at: datetime | None, at: datetime, cooldown_seconds: int) -> Decision[datetime | None]:
    """Whether something that wants to fire at ``at`` may.

    It may when the cooldown is 0, nothing has fired yet, or ``at`` is at least ``cooldown_seconds`` after the
    last fire. An instant *before* the last fire counts as inside the cooldown, so that records of several
    partitions, which arrive interleaved, never give two fires nearer to each other than the cooldown.
    ``new_state`` is the new ``last_fired_at``; it never goes back.
    """
    if last_fired_at is None:
        return Decision(True, "first fire", at)
    latest = max(last_fired_at, at)
    if cooldown_seconds <= 0:
        return Decision(True, "no cooldown", latest)
    until = last_fired_at.astimezone(UTC) + timedelta(seconds=cooldown_seconds)
    if at >= until:
        return Decision(True, f"cooldown of {cooldown_seconds} s over since {format_instant(until)}", latest)
    reason = f"in cooldown until {format_instant(until)} (fired at {format_instant(last_fired_at)})"
    return Decision(False, reason, last_fired_at)
