"""Channels of a request, against what there is."""

from schemas.api.base import JsonObject
from streams.api.names import not_enabled
from streams.api.store import require
from streams.runtime.database import Connection


async def into_collections(
    connection: Connection, namespace_id: str, notification_config: JsonObject
) -> JsonObject:
    """The config with the collections that batch channels copy into by their ids. Raises 404 for one that is not
    there, and 403 for a bucket."""
    channels: list[JsonObject] = []
    for channel in notification_config["channels"]:
        config = channel.get("config")
        if channel["channel_type"] == "batch" and config:
            if config.get("bucket_id"):
                raise not_enabled("bucket_id of a batch channel", "collection_id; this server has no buckets")
            found = await require(connection, "collection", namespace_id, config["collection_id"])
            channel = {**channel, "config": {**config, "collection_id": found.record.id}}
        channels.append(channel)
    return {**notification_config, "channels": channels}
