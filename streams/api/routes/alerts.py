"""``/v1/alerts`` (contract 2.1). Results and executions are the query station's."""

from datetime import datetime

from fastapi import APIRouter, Request, Response

from schemas.api.alert import (
    AlertResponse,
    AlertStats,
    CreateAlertRequest,
    ListAlertsRequest,
    ListAlertsResponse,
    PatchAlertRequest,
)
from schemas.api.document import DeletedResponse
from schemas.api.pages import ListRequest
from schemas.ids import new_id
from streams.api.alerts import check_enabled, new_body, patched_body, response
from streams.api.attachments import check_change, detach
from streams.api.channels import into_collections
from streams.api.listing import ListBodyDep, list_page
from streams.api.references import follow, with_references
from streams.api.secrets import forget, references, restored, sealed
from streams.api.store import change, require, require_name, save
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.definitions import delete_definition
from streams.runtime.http.access import AccessDep, ContextDep
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.http.pages import PageDep, PageRequest, page_of
from streams.runtime.list_counts import listed, listed_by

router = APIRouter(prefix="/v1/alerts", tags=["alerts"], route_class=JsonRoute)


async def _last_fired(connection: Connection, namespace_id: str, alert_ids: list[str]) -> dict[str, datetime]:
    cursor = await connection.execute(
        "SELECT alert_id, last_fired_at FROM alert_notify_state"
        " WHERE namespace_id = %s AND alert_id = ANY(%s) AND last_fired_at IS NOT NULL",
        (namespace_id, alert_ids),
    )
    return dict(await cursor.fetchall())


async def _retriever_id(connection: Connection, namespace_id: str, identifier: str | None) -> str | None:
    if identifier is None:
        return None
    return (await require(connection, "retriever", namespace_id, identifier)).record.id


@router.post("")
async def create_alert(
    body: CreateAlertRequest, access: AccessDep, context: ContextDep, answer: Response
) -> AlertResponse:
    """Create an alert."""
    namespace_id = access.namespace_id
    check_enabled(body, body.source, namespace_id)
    async with change(context, answer) as connection:
        await require_name(connection, "alert", namespace_id, body.name, "name")
        retriever_id = await _retriever_id(connection, namespace_id, body.retriever_id)
        config = restored(body.notification_config.filled(), None)
        config = await into_collections(connection, namespace_id, config)
        config = await sealed(connection, context.settings.secret_key, namespace_id, config)
        alert_id = new_id("alert")
        stored = await save(
            connection, "alert", namespace_id, alert_id, body.name, new_body(body, alert_id, retriever_id, config)
        )
    return response(stored, None)


@router.get("/{alert_identifier}")
async def get_alert(alert_identifier: str, access: AccessDep, context: ContextDep) -> AlertResponse:
    """An alert by id or name."""
    async with context.database.connection() as connection:
        stored = await require(connection, "alert", access.namespace_id, alert_identifier)
        fired = await _last_fired(connection, access.namespace_id, [stored.record.id])
    return response(stored, fired.get(stored.record.id))


@router.patch("/{alert_identifier}")
async def patch_alert(
    alert_identifier: str, body: PatchAlertRequest, access: AccessDep, context: ContextDep, answer: Response
) -> AlertResponse:
    """Change an alert; one attached on ingest must still work there."""
    return await with_references(
        context, lambda: _patched(alert_identifier, body, access.namespace_id, context, answer)
    )


async def _patched(
    alert_identifier: str, body: PatchAlertRequest, namespace_id: str, context: Context, answer: Response
) -> AlertResponse:
    async with change(context, answer) as connection:
        stored = await require(connection, "alert", namespace_id, alert_identifier)
        old, alert_id = stored.body, stored.record.id
        check_enabled(body, "system" if body.system_condition else old["source"], namespace_id)
        if body.name is not None and body.name != old["name"]:
            await require_name(connection, "alert", namespace_id, body.name, "name")
        retriever_id = await _retriever_id(connection, namespace_id, body.retriever_id)
        config = None
        if body.notification_config is not None:
            config = restored(body.notification_config.filled(), old["notification_config"])
            config = await into_collections(connection, namespace_id, config)
            config = await sealed(connection, context.settings.secret_key, namespace_id, config)
        changed = patched_body(old, body, retriever_id, config)
        retriever = await require(connection, "retriever", namespace_id, changed["retriever_id"])
        await check_change(connection, namespace_id, alert_id, changed, retriever.body)
        stored = await save(connection, "alert", namespace_id, alert_id, changed["name"], changed)
        kept = set(references(changed["notification_config"]))
        replaced = [item for item in references(old["notification_config"]) if item not in kept]
        await forget(connection, namespace_id, replaced)
        await follow(connection, namespace_id)
        fired = await _last_fired(connection, namespace_id, [alert_id])
    return response(stored, fired.get(alert_id))


@router.delete("/{alert_identifier}")
async def delete_alert(
    alert_identifier: str, access: AccessDep, context: ContextDep, answer: Response
) -> DeletedResponse:
    """Delete an alert with its executions, secrets and attachments; its retriever stays."""
    namespace_id = access.namespace_id
    async with change(context, answer) as connection:
        stored = await require(connection, "alert", namespace_id, alert_identifier)
        alert_id = stored.record.id
        await detach(connection, namespace_id, alert_id)
        await delete_definition(connection, "alert", namespace_id, alert_id)
        await forget(connection, namespace_id, references(stored.body["notification_config"]))
        # By number, which is what their index has.
        await connection.execute(
            "DELETE FROM alert_executions WHERE namespace_id = %s AND alert_number = %s",
            (namespace_id, stored.record.number),
        )
        for table in ("alert_execution_counts", "alert_notify_state", "alert_sweeps"):
            await connection.execute(
                f"DELETE FROM {table} WHERE namespace_id = %s AND alert_id = %s".encode(), (namespace_id, alert_id)
            )
        await follow(connection, namespace_id)
    return DeletedResponse()


async def _stats(connection: Connection, namespace_id: str) -> AlertStats:
    total = await listed(connection, "alert", namespace_id)
    enabled = await listed(connection, "alert", namespace_id, enabled=True)
    return AlertStats(
        total_alerts=total,
        enabled_alerts=enabled,
        disabled_alerts=total - enabled,
        alerts_by_channel_type=await listed_by(connection, "alert_channel", namespace_id, "channel_type"),
    )


async def _list(
    request: Request, access: AccessDep, context: ContextDep, page: PageRequest, body: ListRequest
) -> ListAlertsResponse:
    namespace_id = access.namespace_id
    async with context.database.transaction(snapshot=True) as connection:
        found = await list_page(connection, "alert", namespace_id, page_of(request, page, body), body)
        fired = await _last_fired(connection, namespace_id, [item.record.id for item in found.results])
        stats = await _stats(connection, namespace_id)
    return ListAlertsResponse(
        results=[response(item, fired.get(item.record.id)) for item in found.results],
        pagination=found.pagination,
        total_count=found.total,
        stats=stats,
    )


@router.post("/list")
async def list_alerts(
    request: Request, access: AccessDep, context: ContextDep, page: PageDep, body: ListAlertsRequest | None = None
) -> ListAlertsResponse:
    """Alerts, newest first."""
    return await _list(request, access, context, page, body or ListRequest())


@router.get("")
async def get_alerts(
    request: Request, access: AccessDep, context: ContextDep, page: PageDep, body: ListBodyDep
) -> ListAlertsResponse:
    """Alerts, newest first."""
    return await _list(request, access, context, page, body)
