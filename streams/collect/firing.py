"""From the changes of a batch to the fires of event triggers. Pure; the counting rule is in the rules engine."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from schemas.events.trigger import TriggerCommand
from schemas.ids import derived_id
from streams.collect.arrivals import Arrival
from streams.collect.fold import Change
from streams.collect.watching import EventTrigger, Watched
from streams.engines.rules.commands import command
from streams.engines.rules.events import EventFire, EventState, count


def counted(watched: Watched, changes: Iterable[Change]) -> dict[str, tuple[EventTrigger, list[Arrival]]]:
    """For every event trigger the arrivals it counts, in record order. A trigger does not count what is its own
    effect, so it cannot set itself off in a circle."""
    found: dict[str, tuple[EventTrigger, list[Arrival]]] = {}
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
    trigger: EventTrigger, state: EventState, arrivals: list[Arrival], now: datetime
) -> tuple[EventState, list[TriggerCommand]]:
    """Count ``arrivals`` and word a command for every fire; ``now`` is when it is decided."""
    moments = [arrival.appended_at for arrival in arrivals]
    state, fires = count(state, trigger.threshold, trigger.cooldown_seconds, moments)
    return state, [_command(trigger, fire, arrivals[fire.index], now) for fire in fires]


def _command(trigger: EventTrigger, fire: EventFire, arrival: Arrival, now: datetime) -> TriggerCommand:
    return command(
        trigger.trigger_id,
        trigger.namespace_id,
        trigger.family,
        trigger.body,
        job_id=derived_id("job_", trigger.trigger_id, "fire", fire.sequence),
        nominal_at=fire.at,
        triggered_at=now,
        reason=f"{trigger.event_type}: {fire.reason}",
        caused_by=arrival.causes,
    )
