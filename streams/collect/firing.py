"""Which changes of a batch count for which event triggers. Pure; the counting rule is in the rules engine."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from schemas.events.trigger import TriggerCommand
from streams.collect.arrivals import Arrival
from streams.collect.fold import Change
from streams.collect.watching import Watched
from streams.engines.rules import event_trigger
from streams.engines.rules.event_trigger import EventTrigger, Moment
from streams.engines.rules.events import EventState


def counted(watched: Watched, changes: Iterable[Change]) -> dict[str, tuple[EventTrigger, list[Arrival]]]:
    """For every event trigger the arrivals it counts, in record order. A trigger does not count what is its own
    effect, so it cannot set itself off in a circle."""
    found: dict[str, tuple[EventTrigger, list[Arrival]]] = {}
    if not watched.triggers:
        return found
    by_event: dict[tuple[str, str, str], list[EventTrigger]] = defaultdict(list)
    for collection, triggers in watched.triggers.items():
        for trigger in triggers:
            by_event[*collection, trigger.event_type].append(trigger)
    for change in changes:
        arrival = change.arrival
        for trigger in by_event.get((*arrival.collection, change.kind), ()):
            if trigger.trigger_id not in arrival.causes:
                found.setdefault(trigger.trigger_id, (trigger, []))[1].append(arrival)
    return found


def decide(
    trigger: EventTrigger, state: EventState, arrivals: Iterable[Arrival], now: datetime
) -> tuple[EventState, list[TriggerCommand]]:
    """Count ``arrivals`` and word a command for every fire; ``now`` is when it is decided."""
    moments = [Moment(arrival.appended_at, arrival.causes) for arrival in arrivals]
    return event_trigger.decide(trigger, state, moments, now)
