"""Events become deliveries: which webhooks want one, and what their channels are sent (contract 7). Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, get_args

import orjson

from schemas.events.alert_result import AlertHit, AlertResultRecord
from schemas.events.happening import Happening, RunWord
from schemas.ids import derived_id
from schemas.times import format_instant
from streams.notify.channels import NotConfiguredError, identity, way
from streams.notify.payload import slack_escape, slack_text, webhook_fields
from streams.notify.plan import AlertKey, Delivery
from streams.notify.policy import Policy, policy

_OWN: Final = frozenset(get_args(RunWord))


@dataclass(frozen=True, slots=True)
class Event:
    """One row of ``webhook_events``."""

    event_id: str
    event_type: str
    namespace_id: str
    subject_id: str
    metadata: Mapping[str, Any]
    occurred_at: datetime

    @property
    def resource_type(self) -> str:
        """The first word of its type."""
        return self.event_type.partition(".")[0]

    @property
    def subject_type(self) -> str:
        """What it happened to: of several documents their collection."""
        return "collection" if self.resource_type == "documents" else self.resource_type

    @property
    def subject(self) -> AlertKey:
        """What it happened to."""
        return self.namespace_id, self.subject_id

    @property
    def own(self) -> bool:
        """Whether it is for the channels of its subject, and for no webhook."""
        return self.event_type in _OWN


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook and what it wants."""

    policy: Policy
    event_types: frozenset[str]
    resource_types: frozenset[str]
    """Empty: any."""

    def wants(self, event: Event) -> bool:
        """Whether it is told of an event."""
        return (
            self.policy.enabled
            and event.event_type in self.event_types
            and (not self.resource_types or event.resource_type in self.resource_types)
        )


def webhook(webhook_id: str, body: Mapping[str, Any]) -> Webhook:
    """A webhook from its definition."""
    types, resources = body.get("event_types") or (), body.get("resource_types") or ()
    return Webhook(policy("", webhook_id, body), frozenset(types), frozenset(resources))


def deliveries_of(
    events: Iterable[Event], webhooks: Sequence[Webhook], own: Mapping[AlertKey, Policy] = MappingProxyType({})
) -> list[Delivery]:
    """What is to be sent, event by event; a channel that cannot deliver has its problem. ``own`` are the policies
    of subjects with channels of their own."""
    found: list[Delivery] = []
    for event in events:
        receivers = [one.policy for one in webhooks if one.wants(event)]
        if event.own and event.subject in own:
            receivers.append(own[event.subject])
        for receiver in receivers:
            found += [_delivery(event, receiver, index) for index in range(len(receiver.channels))]
    return found


def _delivery(event: Event, receiver: Policy, index: int) -> Delivery:
    channel, problem, payload = receiver.channels[index], None, b""
    try:
        way(channel)
        payload = _body(event, channel)
    except NotConfiguredError as error:
        problem = str(error)
    return Delivery(
        # Several webhooks may be told of the same event.
        execution_id=f"{event.event_id}_{receiver.alert_id}",
        channel_index=index,
        namespace_id=receiver.namespace_id,
        alert_id=receiver.alert_id,
        channel_type=str(channel.get("channel_type")),
        channel=identity(channel),
        payload=payload,
        problem=problem,
    )


def _body(event: Event, channel: Mapping[str, Any]) -> bytes:
    if channel.get("channel_type") == "slack":
        subject = f"*{event.event_type}* `{slack_escape(event.subject_id)}` in `{event.namespace_id}`"
        return slack_text([subject, f"{format_instant(event.occurred_at)} · {event.event_id}"], channel["config"])
    collection_id = event.metadata.get("collection_id")
    scope = (
        {"scope": "namespace"} if not collection_id else {"scope": "collection", "collection_id": collection_id}
    )
    return orjson.dumps(
        {
            "event_id": event.event_id,
            "event_type": event.event_type,
            "occurred_at": format_instant(event.occurred_at),
            "namespace_id": event.namespace_id,
            "subject": {"type": event.subject_type, "id": event.subject_id},
            "metadata": event.metadata,
            "cache_scope": scope,
        }
    )


def happenings_of(
    results: Iterable[AlertResultRecord], policies: Mapping[AlertKey, Policy]
) -> Iterable[Happening]:
    """What a batch of results is to webhooks: every execution, and every one that triggered, of alerts that there
    are. Cooldown is about an alert's own channels and holds none of these back. Ids derive from the execution: one
    that match tells again is the same event."""
    for record in results:
        for execution_id, hit in record.executions():
            alert = policies.get((record.namespace_id, hit.alert_id))
            if alert is not None:
                yield from _executed(record, execution_id, hit, alert)


def _executed(record: AlertResultRecord, execution_id: str, hit: AlertHit, alert: Policy) -> Iterable[Happening]:
    fields = webhook_fields(record, execution_id, hit, alert)
    for kind in ("alert.execution.completed", *(["alert.triggered"] if hit.triggered else [])):
        yield Happening(
            "alert.triggered" if kind == "alert.triggered" else "alert.execution.completed",
            record.namespace_id,
            hit.alert_id,
            fields,
            record.executed_at,
            derived_id("evt_", kind, execution_id),
        )
