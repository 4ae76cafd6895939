"""Event triggers: count document events in record order and say where the threshold is crossed (design section 6).

A fire resets the counter to 0 at the crossing event and the rest count on. During the cooldown events are counted,
not lost (contract 4.8); the first one after it with a counter at the threshold fires.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class EventState:
    """What is kept of an event trigger between batches."""

    counter: int = 0
    """Events since the last fire."""
    fire_sequence: int = 0
    """Fires so far; the number of the last one."""
    fired_at: datetime | None = None
    """Append time of the document that set off the last fire: the start of the cooldown."""


@dataclass(frozen=True, slots=True)
class EventFire:
    """One crossing of the threshold."""

    index: int
    """Which of the moments crossed."""
    at: datetime
    """The crossing event's append time."""
    sequence: int
    """1 for a trigger's first fire; with the trigger's id it identifies the fire."""
    counted: int
    reason: str


def count(
    state: EventState, threshold: int, cooldown_seconds: float, moments: Sequence[datetime]
) -> tuple[EventState, list[EventFire]]:
    """Fold ``moments``, the append times of the events that count, in record order. The outcome does not depend
    on how the moments are cut into calls."""
    cooldown = timedelta(seconds=cooldown_seconds)
    fires: list[EventFire] = []
    for index, moment in enumerate(moments):
        counted = state.counter + 1
        if counted < threshold or _cooling(state.fired_at, cooldown, moment):
            state = replace(state, counter=counted)
            continue
        sequence = state.fire_sequence + 1
        reason = f"{counted} {'event' if counted == 1 else 'events'} counted, threshold {threshold}"
        if counted > threshold and cooldown_seconds:
            reason += f", after a cooldown of {cooldown_seconds:g} s"
        fires.append(EventFire(index, moment, sequence, counted, reason))
        state = EventState(0, sequence, moment)
    return state, fires


def _cooling(fired_at: datetime | None, cooldown: timedelta, moment: datetime) -> bool:
    # Without a cooldown an event of a partition that lags, older than the last fire, must still fire.
    return bool(cooldown) and fired_at is not None and moment < fired_at + cooldown
