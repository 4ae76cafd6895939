"""What a collection sets off by itself: triggers made for its schedule and for the clusters applied to it
(contract 4.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from schemas.api.base import JsonObject
from schemas.api.collection import ClusterApplication, CollectionSchedule
from schemas.api.schedule import read_schedule
from schemas.ids import new_id
from streams.api import trigger_store
from streams.api.cluster_runs import add_auto_trigger
from streams.api.store import require
from streams.api.triggers import new_body
from streams.runtime.database import Connection
from streams.runtime.definitions import find_definition
from streams.runtime.http.access import Access
from streams.runtime.http.errors import conflict, refused

TRIGGERS = "cluster_trigger_ids"
"""Key of a collection's body: by cluster the trigger that was made for its application."""


@dataclass(frozen=True, slots=True)
class Automation:
    """The changes of one request, in its transaction."""

    connection: Connection
    access: Access
    collection: JsonObject
    """Its body so far, from before the request."""
    now: datetime

    async def scheduled(self, schedule: CollectionSchedule | None) -> JsonObject:
        """The fields of the body for a schedule; without one it has none from now on. Raises 422."""
        old = self.collection.get("schedule")
        if schedule is None:
            await self._disable(self.collection.get("trigger_id"))
            return {"schedule": None, "trigger_id": None}
        try:
            config = read_schedule(schedule.trigger_type, schedule.schedule_config)
        except ValidationError as error:
            raise refused(error, "body", "schedule") from error
        wanted = {**schedule.filled(), "schedule_config": config}
        if wanted == old:
            return {}
        await self._disable(self.collection.get("trigger_id"))
        collection_id = self.collection["collection_id"]
        fields: JsonObject = {
            "action_type": "collection_trigger",
            "action_config": {"collection_id": collection_id},
            "trigger_type": schedule.trigger_type,
            "schedule_config": config,
            "name": None,
            "description": schedule.description or f"Schedule of collection {collection_id}",
        }
        body = new_body(fields, new_id("trigger"), self.access.caller.key_id, [collection_id])
        namespace_id = self.access.namespace_id
        stored = await trigger_store.create(self.connection, "trigger", namespace_id, body, "active", self.now)
        return {"schedule": wanted, "trigger_id": stored.record.id}

    async def clustered(self, applications: list[ClusterApplication]) -> JsonObject:
        """The fields of the body for these clusters and no others. Raises 404 for an unknown cluster and 422 for
        one that does not cluster this collection, or is applied twice."""
        collection_id, before = self.collection["collection_id"], self.collection
        old = {item["cluster_id"]: item for item in before.get("cluster_applications") or ()}
        triggers: dict[str, str] = dict(before.get(TRIGGERS) or {})
        shown: dict[str, JsonObject] = {}
        for index, application in enumerate(applications):
            where = ("body", "cluster_applications", index, "cluster_id")
            namespace_id = self.access.namespace_id
            cluster = await require(self.connection, "cluster", namespace_id, application.cluster_id)
            cluster_id = cluster.record.id
            if cluster_id in shown:
                raise conflict(f"Cluster {cluster_id} is applied twice", *where)
            if collection_id not in cluster.body["collection_ids"]:
                raise conflict(f"Cluster {cluster_id} does not cluster this collection", *where)
            body = shown[cluster_id] = {**application.filled(), "cluster_id": cluster_id}
            if body == old.get(cluster_id):
                continue
            await self._disable(triggers.pop(cluster_id, None))
            if application.auto_execute_on_batch:
                triggers[cluster_id] = await add_auto_trigger(
                    self.connection,
                    self.access,
                    cluster_id,
                    application.min_document_threshold,
                    application.cooldown_seconds,
                    [collection_id],
                    self.now,
                )
        for gone in triggers.keys() - shown.keys():
            await self._disable(triggers.pop(gone))
        return {"cluster_applications": list(shown.values()) or None, TRIGGERS: triggers}

    async def ended(self) -> None:
        """The collection is deleted: nothing of this goes on."""
        for trigger_id in triggers_of(self.collection):
            await self._disable(trigger_id)

    async def _disable(self, trigger_id: str | None) -> None:
        if trigger_id is None:
            return
        namespace_id = self.access.namespace_id
        trigger = await find_definition(self.connection, "trigger", namespace_id, trigger_id)
        if trigger is not None:
            await trigger_store.set_status(self.connection, trigger, "disabled", self.now)


def triggers_of(collection: Mapping[str, object]) -> list[str]:
    """The triggers made for a collection."""
    made = collection.get(TRIGGERS)
    found = list(made.values()) if isinstance(made, dict) else []
    return [item for item in (collection.get("trigger_id"), *found) if isinstance(item, str)]
