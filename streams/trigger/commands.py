"""The command of a fire: what the act station is asked to do. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from schemas.events.trigger import TriggerCommand, TriggerFamily
from schemas.ids import derived_id
from schemas.times import format_instant
from streams.engines.rules.errors import ScheduleError


def job_id(trigger_id: str, nominal_at: datetime) -> str:
    """The job of one nominal time of one trigger: deciding it again gives the same id."""
    return derived_id("job_", trigger_id, format_instant(nominal_at))


def command(
    trigger_id: str,
    namespace_id: str,
    family: TriggerFamily,
    body: Mapping[str, Any],
    *,
    nominal_at: datetime,
    triggered_at: datetime,
    reason: str,
    until: datetime | None = None,
    measurement: dict[str, Any] | None = None,
) -> TriggerCommand:
    """The command for a fire of the trigger defined by ``body``. Raises :class:`ScheduleError` when the
    definition does not say what to do."""
    action_type, action_config = _action(family, body)
    return TriggerCommand(
        job_id=job_id(trigger_id, nominal_at),
        trigger_id=trigger_id,
        namespace_id=namespace_id,
        family=family,
        action_type=action_type,
        action_config=action_config,
        nominal_at=nominal_at,
        triggered_at=triggered_at,
        reason=reason,
        until=until,
        measurement=measurement,
    )


def _action(family: TriggerFamily, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if family == "cluster_trigger":
        config = {"execution_config": body.get("execution_config")}
        if body.get("cluster_id") is not None:
            config["cluster_id"] = body["cluster_id"]
        return "cluster", config
    action_type, action_config = body.get("action_type"), body.get("action_config")
    if not isinstance(action_type, str) or not isinstance(action_config, dict):
        raise ScheduleError("the trigger's definition has no action_type with an action_config")
    return action_type, action_config
