"""The command of a fire: what the act station is asked to do, whoever decided the fire. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from schemas.events.trigger import FiredBy, TriggerCommand, TriggerFamily
from schemas.ids import derived_id
from schemas.times import format_instant
from streams.engines.rules.errors import ScheduleError

_RULES: Final[dict[str, FiredBy]] = {
    "cron": "schedule",
    "interval": "schedule",
    "event": "event",
    "conditional": "condition",
}


def job_id(trigger_id: str, nominal_at: datetime) -> str:
    """The job of one nominal time of one trigger: deciding it again gives the same id."""
    return derived_id("job_", trigger_id, format_instant(nominal_at))


def backfill_job_id(trigger_id: str, nominal_at: datetime) -> str:
    """The job of one nominal time that is run again on request: asking again gives the same id, which is not that
    of the nominal time's own job."""
    return derived_id("job_", trigger_id, "backfill", format_instant(nominal_at))


def command(
    trigger_id: str,
    namespace_id: str,
    family: TriggerFamily,
    body: Mapping[str, Any],
    *,
    job_id: str,
    nominal_at: datetime,
    triggered_at: datetime,
    reason: str,
    until: datetime | None = None,
    measurement: dict[str, Any] | None = None,
    caused_by: tuple[str, ...] = (),
    fired_by: FiredBy | None = None,
) -> TriggerCommand:
    """The command for a fire of the trigger defined by ``body``; without ``fired_by`` its own rule fired it.
    Raises :class:`ScheduleError` when the definition does not say what to do."""
    action_type, action_config = action(family, body)
    return TriggerCommand(
        job_id=job_id,
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
        caused_by=caused_by,
        fired_by=fired_by or _RULES.get(str(body.get("trigger_type"))),
    )


def action(family: TriggerFamily, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Type and config of what a trigger runs. A cluster trigger has one action; its config names the cluster or
    says how to cluster, and leaves out what the definition leaves out. Raises :class:`ScheduleError`."""
    if family == "cluster_trigger":
        config = {key: body[key] for key in ("cluster_id", "execution_config") if body.get(key) is not None}
        if not config:
            raise ScheduleError("the trigger's definition has neither a cluster_id nor an execution_config")
        return "cluster", config
    action_type, action_config = body.get("action_type"), body.get("action_config")
    if not isinstance(action_type, str) or not isinstance(action_config, dict):
        raise ScheduleError("the trigger's definition has no action_type with an action_config")
    return action_type, action_config
