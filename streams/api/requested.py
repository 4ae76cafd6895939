"""Runs that somebody asks for. Asking twice is asking for two runs, so their ids are fresh ones."""

import secrets
from datetime import datetime

from schemas.api.base import JsonObject
from schemas.events.trigger import TriggerCommand

REASON = "executed on request"


def fresh_job_id() -> str:
    """The id of a job that derives from nothing."""
    return f"job_{secrets.token_hex(12)}"


def run_of(about: str, namespace_id: str, action_type: str, config: JsonObject, now: datetime) -> TriggerCommand:
    """One run of an action without a trigger. What it writes is caused by what it is ``about``: a cluster or a
    collection."""
    return TriggerCommand(
        job_id=fresh_job_id(),
        trigger_id=about,
        namespace_id=namespace_id,
        family="trigger",
        action_type=action_type,
        action_config=config,
        nominal_at=now,
        triggered_at=now,
        reason=REASON,
        fired_by="request",
    )
