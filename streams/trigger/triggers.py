"""Triggers as the station reads them, and how one that cannot work ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.events.trigger import TriggerFamily
from streams.runtime.database import Connection

# A definition and its state, for triggers that may act.
ACTIVE = (
    " FROM trigger_state AS s JOIN definitions AS d ON d.kind = s.family AND d.namespace_id = s.namespace_id"
    " AND d.id = s.trigger_id AND d.deleted_at IS NULL WHERE s.status = 'active'"
)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger as its definition says it."""

    trigger_id: str
    namespace_id: str
    family: TriggerFamily
    trigger_type: str
    body: Mapping[str, Any]
    next_scheduled_at: datetime | None

    @property
    def schedule_config(self) -> Mapping[str, Any]:
        """Empty when the definition has none, which every rule refuses in words."""
        config = self.body.get("schedule_config")
        return config if isinstance(config, dict) else {}

    @property
    def collections(self) -> list[tuple[str, str]]:
        """The (namespace_id, collection_id) it watches."""
        return [(self.namespace_id, collection) for collection in self.body.get("watched_collection_ids") or ()]


async def set_failed(connection: Connection, trigger_id: str, error: str) -> None:
    """Take a trigger whose definition cannot work out of service, with the reason a user reads."""
    await connection.execute(
        "UPDATE trigger_state SET status = 'failed', last_execution_error = %s, next_scheduled_at = NULL,"
        " next_due_at = NULL, buffered_at = NULL, updated_at = now()"
        " WHERE trigger_id = %s AND status = 'active'",
        (error, trigger_id),
    )
