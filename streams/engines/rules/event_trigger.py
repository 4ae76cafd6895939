"""A trigger that fires on a number of events: what it counts, and the commands of its fires (contract 4.8). Pure.

Documents' events are counted by collect, executions of alerts by trigger: each where it is read exactly once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas.events.definition import DefinitionRecord
from schemas.events.trigger import TriggerCommand, TriggerFamily
from schemas.ids import derived_id
from streams.engines.rules import commands
from streams.engines.rules.events import EventState, count

ALERT_TRIGGERED: Final = "alert_triggered"
"""The ``event_type`` that is about executions of alerts; the others are about documents."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One event that counts."""

    at: datetime
    """Append time of the document."""
    causes: tuple[str, ...] = ()
    """Ids of the alerts and triggers whose effect it is, oldest first."""


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """A compiled definition."""

    trigger_id: str
    namespace_id: str
    family: TriggerFamily
    body: Mapping[str, Any]
    """Its definition, which says what to run."""
    event_type: str
    threshold: int
    cooldown_seconds: float
    alert_id: str | None = None
    """Of alerts only this one counts."""

    @classmethod
    def of(cls, record: DefinitionRecord) -> "EventTrigger":
        """Raises :class:`ScheduleError` for a definition that does not say what to run: now, not at the first
        fire in the middle of a batch."""
        schedule = record.body["schedule_config"]
        family: TriggerFamily = "cluster_trigger" if record.kind == "cluster_trigger" else "trigger"
        commands.action(family, record.body)
        return cls(
            trigger_id=record.id,
            namespace_id=record.namespace_id,
            family=family,
            body=record.body,
            event_type=schedule["event_type"],
            threshold=schedule.get("event_threshold") or 1,
            cooldown_seconds=schedule.get("cooldown_seconds") or 0,
            alert_id=schedule.get("alert_id"),
        )


def decide(
    trigger: EventTrigger, state: EventState, moments: Sequence[Moment], now: datetime
) -> tuple[EventState, list[TriggerCommand]]:
    """Count ``moments``, in record order, and word a command for every fire; ``now`` is when it is decided."""
    state, fires = count(state, trigger.threshold, trigger.cooldown_seconds, [moment.at for moment in moments])
    return state, [
        commands.command(
            trigger.trigger_id,
            trigger.namespace_id,
            trigger.family,
            trigger.body,
            job_id=derived_id("job_", trigger.trigger_id, "fire", fire.sequence),
            nominal_at=fire.at,
            triggered_at=now,
            reason=f"{trigger.event_type}: {fire.reason}",
            caused_by=moments[fire.index].causes,
        )
        for fire in fires
    ]
