"""What a stored alert says about notifying. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.api.channel import is_unconfigured


@dataclass(frozen=True, slots=True)
class Policy:
    """The notification side of an alert (contract 4.2), a webhook, or a trigger that runs a retriever (4.8)."""

    namespace_id: str
    alert_id: str
    name: str
    enabled: bool
    cooldown_seconds: int
    channels: Sequence[Mapping[str, Any]]
    """Those that are there to deliver. Empty when the alert tells nobody (docs/decisions/001)."""
    include_matches: bool = True
    include_scores: bool = True


def policy(namespace_id: str, alert_id: str, body: Mapping[str, Any]) -> Policy:
    """Read a definition body. The API has checked it; what it lets be absent or null has its default here."""
    # A trigger has it where it says what it runs.
    config = body.get("notification_config") or (body.get("action_config") or {}).get("notification_config") or {}
    return Policy(
        namespace_id=namespace_id,
        alert_id=alert_id,
        name=body.get("name") or alert_id,
        enabled=body.get("enabled", True) is not False,
        cooldown_seconds=body.get("cooldown_seconds") or 0,
        channels=tuple(item for item in config.get("channels") or () if not is_unconfigured(item)),
        include_matches=config.get("include_matches", True) is not False,
        include_scores=config.get("include_scores", True) is not False,
    )
