"""Telling about an alert that is asked again and again: once per rising edge, then reminders (contract 4.2). Pure.

A sweep asks an alert's question over stored documents. While the answer stays yes, that is one event: it is told
once, and again every ``renotify_interval_seconds`` if that is set. A document that matches on ingest is an event
of its own: only the cooldown (``cooldown.py``) holds it back. Both share ``last_fired_at``, so that a cooldown
counts on every path.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from streams.engines.rules import cooldown
from streams.engines.rules.decision import Decision


@dataclass(frozen=True, slots=True)
class SweepState:
    """What is remembered of one alert between sweeps."""

    last_fired_at: datetime | None = None
    """When it was last told, on whatever path."""
    told: bool = False
    """It was told since the condition last began to hold."""


def decide(
    state: SweepState, triggered: bool, at: datetime, cooldown_seconds: int, renotify_seconds: int | None
) -> Decision[SweepState]:
    """Whether to tell of the sweep at ``at``, whose condition held or not.

    An edge inside the cooldown is not lost: it is told by the first sweep after it, if the condition still holds.
    A reminder comes when both the renotify interval and the cooldown have passed since the last fire.
    """
    if not triggered:
        return Decision(False, "the condition does not hold", SweepState(state.last_fired_at))
    if not state.told:
        edge = cooldown.decide(state.last_fired_at, at, cooldown_seconds)
        reason = f"the condition began to hold; {edge.reason}"
        return Decision(edge.fire, reason, SweepState(edge.new_state, edge.fire))
    if renotify_seconds is None:
        return Decision(False, "the condition goes on to hold, told once", state)
    again = cooldown.decide(state.last_fired_at, at, max(cooldown_seconds, renotify_seconds))
    reason = f"the condition goes on to hold; renotify every {renotify_seconds} s: {again.reason}"
    return Decision(again.fire, reason, SweepState(again.new_state, True))


def next_due(state: SweepState, cooldown_seconds: int, renotify_seconds: int | None) -> datetime | None:
    """From when on :func:`decide` tells of a condition that goes on to hold; ``None`` when it was told and is not
    told again."""
    if state.last_fired_at is None or (state.told and renotify_seconds is None):
        return None
    waits = max(cooldown_seconds, renotify_seconds or 0) if state.told else cooldown_seconds
    return state.last_fired_at.astimezone(UTC) + timedelta(seconds=waits)
