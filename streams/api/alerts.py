"""Alert bodies: from a request, under a PATCH, to a response (contract 4.2). Pure."""

from datetime import datetime

from schemas.api.alert import AlertResponse, CreateAlertRequest, PatchAlertRequest
from schemas.api.base import JsonObject
from schemas.api.channel import masked
from streams.api.names import not_enabled
from streams.runtime.definitions import StoredDefinition

_PATCHED = (
    "name",
    "description",
    "trigger_on",
    "min_count",
    "threshold",
    "inputs",
    "cooldown_seconds",
    "renotify_interval_seconds",
    "window_seconds",
    "time_domain",
    "system_condition",
    "namespace_selector",
    "enabled",
    "metadata",
)


def check_enabled(request: CreateAlertRequest | PatchAlertRequest, source: str, namespace_id: str) -> None:
    """Refuse (403) an alert that nothing here would evaluate: system conditions, other namespaces."""
    if source == "system":
        raise not_enabled("source 'system'", "source 'retriever'")
    selector = request.namespace_selector
    if selector is not None and (selector.mode == "all" or selector.namespace_ids != [namespace_id]):
        raise not_enabled("An alert over several namespaces", "the alert's own namespace")


def new_body(
    request: CreateAlertRequest, alert_id: str, retriever_id: str | None, notification_config: JsonObject
) -> JsonObject:
    """The body of a new alert; ``notification_config`` holds references in place of secrets."""
    body = request.filled()
    body.update(alert_id=alert_id, retriever_id=retriever_id, notification_config=notification_config)
    return body


def patched_body(
    body: JsonObject,
    request: PatchAlertRequest,
    retriever_id: str | None,
    notification_config: JsonObject | None,
) -> JsonObject:
    """``body`` with what the request changes."""
    given = request.given()
    changed = {**body, **{name: given[name] for name in _PATCHED if name in given}}
    if changed.get("window_seconds") == 0:
        changed["window_seconds"] = None
    if retriever_id is not None:
        changed["retriever_id"] = retriever_id
    if notification_config is not None:
        changed["notification_config"] = notification_config
    return changed


def response(stored: StoredDefinition, last_fired_at: datetime | None) -> AlertResponse:
    """An alert as it is shown; ``last_fired_at`` is when it last notified."""
    body = stored.body
    return AlertResponse(
        alert_id=stored.record.id,
        namespace_id=stored.record.namespace_id,
        name=body["name"],
        description=body.get("description"),
        source=body["source"],
        retriever_id=body.get("retriever_id"),
        trigger_on=body["trigger_on"],
        min_count=body["min_count"],
        threshold=body.get("threshold"),
        inputs=body.get("inputs"),
        cooldown_seconds=body["cooldown_seconds"],
        renotify_interval_seconds=body.get("renotify_interval_seconds"),
        window_seconds=body.get("window_seconds"),
        time_domain=body.get("time_domain"),
        last_fired_at=last_fired_at,
        system_condition=body.get("system_condition"),
        namespace_selector=body.get("namespace_selector"),
        notification_config=masked(body["notification_config"]),
        enabled=body["enabled"],
        metadata=body["metadata"],
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )
