"""Webhook bodies: from a request, to a response; and how their deliveries fare (contract 2.10, 7).

A webhook is stored with its channels as an alert's ``notification_config``: secrets are sealed, shown and kept
by the same rules, and notify reaches both alike.
"""

from collections.abc import Sequence
from typing import get_args

from schemas.api.base import JsonObject
from schemas.api.channel import masked
from schemas.api.webhook import ANY, DeliveryHealth, WebhookRequest, WebhookResponse
from schemas.events.happening import EventType
from streams.api.names import not_enabled
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition

NAMESPACE = ""
"""Webhooks belong to the organisation."""


def notification_config(request: WebhookRequest) -> JsonObject:
    """The channels as an alert has them. Raises 403 for what no delivery would follow."""
    for channel in request.channels:
        if channel.channel == "email":
            raise not_enabled("Delivery by email", "webhook, slack")
        if channel.configs.get("payload_template"):
            raise not_enabled("payload_template", "the payload of the events as it is")
    return {
        "channels": [{"channel_type": item.channel, "config": dict(item.configs)} for item in request.channels],
    }


def body_of(request: WebhookRequest, webhook_id: str, config: JsonObject) -> JsonObject:
    """A webhook as stored; ``config`` is its notification config, sealed."""
    return {
        "webhook_id": webhook_id,
        "name": request.webhook_name,
        "enabled": request.is_active,
        "event_types": _types(request.event_types),
        "resource_types": request.resource_types,
        "notification_config": config,
    }


def _types(wanted: Sequence[str]) -> list[str]:
    """The types by name, each once: readers of an answer know no word for all of them."""
    return list(get_args(EventType)) if ANY in wanted else list(dict.fromkeys(wanted))


def response(stored: StoredDefinition, health: DeliveryHealth | None) -> WebhookResponse:
    """A webhook as it is shown."""
    body = stored.body
    return WebhookResponse(
        webhook_id=stored.record.id,
        webhook_name=body["name"],
        event_types=body["event_types"],
        resource_types=body["resource_types"],
        channels=[
            {"channel": channel["channel_type"], "configs": channel["config"]}
            for channel in masked(body["notification_config"])["channels"]
        ],
        is_active=body["enabled"],
        delivery_health=health,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )


_HEALTH = b"""
WITH arrived AS (
    SELECT alert_id, max(updated_at) AS at FROM deliveries
    WHERE namespace_id = '' AND alert_id = ANY(%(ids)s) AND state = 'delivered' GROUP BY 1
)
SELECT d.alert_id, count(*) FILTER (WHERE d.state = 'failed' AND d.updated_at > coalesce(a.at, '-infinity')),
       count(*) FILTER (WHERE d.state = 'pending'), max(d.updated_at) FILTER (WHERE d.last_error IS NOT NULL),
       (array_agg(d.last_error ORDER BY d.updated_at DESC) FILTER (WHERE d.last_error IS NOT NULL))[1]
FROM deliveries d LEFT JOIN arrived a USING (alert_id)
WHERE d.namespace_id = '' AND d.alert_id = ANY(%(ids)s) GROUP BY 1
"""


async def health_of(connection: Connection, webhook_ids: Sequence[str]) -> dict[str, DeliveryHealth]:
    """How the deliveries of webhooks fare; of one that was never told anything, nothing."""
    cursor = await connection.execute(_HEALTH, {"ids": list(webhook_ids)})
    return {
        webhook_id: DeliveryHealth(
            consecutive_failures=failures, pending=pending, last_failure_at=at, last_failure_cause=cause
        )
        for webhook_id, failures, pending, at, cause in await cursor.fetchall()
    }
