"""``/v1/organizations/webhooks`` (contract 2.10): only the key counts, and it must reach every namespace."""

from fastapi import APIRouter, Depends, Request, Response

from schemas.api.base import JsonObject
from schemas.api.webhook import (
    ListWebhooksRequest,
    ListWebhooksResponse,
    WebhookRequest,
    WebhookResponse,
)
from schemas.ids import new_id
from streams.api.listing import list_page
from streams.api.secrets import forget, references, restored, sealed
from streams.api.store import change, require, save
from streams.api.webhooks import NAMESPACE, body_of, health_of, notification_config, response
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.definitions import delete_definition, find_definition
from streams.runtime.http.access import ContextDep, administer
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.http.pages import PageDep, page_of

router = APIRouter(
    prefix="/v1/organizations/webhooks",
    tags=["webhooks"],
    route_class=JsonRoute,
    # They are told of every namespace, so only keys of the whole server have any.
    dependencies=[Depends(administer)],
)


async def _config(
    connection: Connection, context: Context, body: WebhookRequest, old: JsonObject | None
) -> JsonObject:
    config = restored(notification_config(body), old)
    return await sealed(connection, context.settings.secret_key, NAMESPACE, config)


@router.post("")
async def create_webhook(body: WebhookRequest, context: ContextDep, answer: Response) -> WebhookResponse:
    """Create a webhook: from now on it is told of its events."""
    async with change(context, answer) as connection:
        config = await _config(connection, context, body, None)
        webhook_id = new_id("webhook")
        fields = body_of(body, webhook_id, config)
        stored = await save(connection, "webhook", NAMESPACE, webhook_id, None, fields)
    return response(stored, None)


@router.post("/list")
async def list_webhooks(
    request: Request, context: ContextDep, page: PageDep, body: ListWebhooksRequest | None = None
) -> ListWebhooksResponse:
    """Webhooks, newest first."""
    asked = body or ListWebhooksRequest()
    given = {"event_types": asked.event_type, "enabled": asked.is_active}
    conditions = [{"field": name, "value": value} for name, value in given.items() if value is not None]
    if conditions:
        asked.filters = {"AND": [*conditions, asked.filters or {}]}
    async with context.database.transaction(snapshot=True) as connection:
        found = await list_page(connection, "webhook", NAMESPACE, page_of(request, page, asked), asked)
        health = await health_of(connection, [item.record.id for item in found.results])
    return ListWebhooksResponse(
        results=[response(item, health.get(item.record.id)) for item in found.results],
        pagination=found.pagination,
        total=found.total,
    )


@router.get("/{identifier}")
async def get_webhook(identifier: str, context: ContextDep) -> WebhookResponse:
    """A webhook by id."""
    async with context.database.connection() as connection:
        stored = await require(connection, "webhook", NAMESPACE, identifier)
        health = await health_of(connection, [stored.record.id])
    return response(stored, health.get(stored.record.id))


@router.put("/{identifier}")
async def update_webhook(
    identifier: str, body: WebhookRequest, context: ContextDep, answer: Response
) -> WebhookResponse:
    """Replace a webhook. A secret that is sent back masked is kept for the address it was given for."""
    async with change(context, answer) as connection:
        stored = await require(connection, "webhook", NAMESPACE, identifier)
        old, webhook_id = stored.body["notification_config"], stored.record.id
        config = await _config(connection, context, body, old)
        fields = body_of(body, webhook_id, config)
        stored = await save(connection, "webhook", NAMESPACE, webhook_id, None, fields)
        kept = set(references(config))
        await forget(connection, NAMESPACE, [item for item in references(old) if item not in kept])
        health = await health_of(connection, [webhook_id])
    return response(stored, health.get(webhook_id))


@router.delete("/{identifier}", status_code=204)
async def delete_webhook(identifier: str, context: ContextDep, answer: Response) -> Response:
    """Delete a webhook with its secrets; what it has not been told yet it will not be. Idempotent."""
    async with change(context, answer) as connection:
        stored = await find_definition(connection, "webhook", NAMESPACE, identifier)
        if stored is not None:
            await delete_definition(connection, "webhook", NAMESPACE, stored.record.id)
            await forget(connection, NAMESPACE, references(stored.body["notification_config"]))
    return Response(status_code=204, headers=dict(answer.headers))
