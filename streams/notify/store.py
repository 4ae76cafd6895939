"""What a decision reads and writes: policies, states, new delivery rows."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import orjson

from schemas.topics import NOTIFICATIONS
from streams.notify.events import Event, Webhook, webhook
from streams.notify.plan import AlertKey, Delivery, NotifyState, Plan
from streams.notify.policy import Policy, policy
from streams.runtime.database import Connection
from streams.runtime.definitions import select_definitions
from streams.runtime.outbox import enqueue

_KEYS = "SELECT * FROM unnest(%(namespaces)s::text[], %(alerts)s::text[])"


def _keys(keys: Iterable[AlertKey]) -> dict[str, list[str]]:
    ordered = sorted(keys)
    return {"namespaces": [key[0] for key in ordered], "alerts": [key[1] for key in ordered]}


async def load_policies(connection: Connection, keys: Collection[AlertKey]) -> dict[AlertKey, Policy]:
    """The policies of the alerts, of the webhooks and of the triggers that exist.

    From PostgreSQL and not from the definitions topic: an alert whose definition is still on its way there
    would lose its first deliveries, and one just switched off would send another.
    """
    if not keys:
        return {}
    where = f"d.kind IN ('alert', 'webhook', 'trigger') AND (d.namespace_id, d.id) IN ({_KEYS})"
    found = await select_definitions(connection, where, _keys(keys))
    records = [stored.record for stored in found]
    return {(r.namespace_id, r.id): policy(r.namespace_id, r.id, r.body) for r in records}


async def lock_states(connection: Connection, keys: Collection[AlertKey]) -> dict[AlertKey, NotifyState]:
    """The states of these alerts, locked until the transaction ends; in one order, against deadlocks."""
    if not keys:
        return {}
    await connection.execute(
        f"INSERT INTO alert_notify_state (namespace_id, alert_id) {_KEYS} ON CONFLICT DO NOTHING".encode(),
        _keys(keys),
    )
    cursor = await connection.execute(
        "SELECT namespace_id, alert_id, last_fired_at, suppressed FROM alert_notify_state"
        f" WHERE (namespace_id, alert_id) IN ({_KEYS}) ORDER BY namespace_id, alert_id FOR UPDATE".encode(),
        _keys(keys),
    )
    return {(row[0], row[1]): NotifyState(row[2], row[3]) for row in await cursor.fetchall()}


async def planned_executions(connection: Connection, execution_ids: Sequence[str]) -> set[str]:
    """Those of these executions that have delivery rows."""
    cursor = await connection.execute(
        "SELECT DISTINCT execution_id FROM deliveries WHERE execution_id = ANY(%s)", (list(execution_ids),)
    )
    return {row[0] for row in await cursor.fetchall()}


async def write_plan(connection: Connection, plan: Plan, now: datetime) -> None:
    """Rows, states and records of one batch, in the caller's transaction."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO deliveries (execution_id, channel_index, namespace_id, alert_id, channel_type, channel,"
            " webhook_id, payload, state, last_error, next_attempt_at, created_at, updated_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [_row(delivery, now) for delivery in plan.deliveries],
        )
        await cursor.executemany(
            "UPDATE alert_notify_state SET last_fired_at = %s, suppressed = %s"
            " WHERE namespace_id = %s AND alert_id = %s",
            [(state.last_fired_at, state.suppressed, *key) for key, state in plan.states.items()],
        )
    for notice in plan.notices:
        await enqueue(connection, NOTIFICATIONS, notice.key, notice.encode())


async def take_events(connection: Connection, limit: int) -> list[Event]:
    """The oldest events, taken off their table in the caller's transaction; each goes to one taker."""
    cursor = await connection.execute(
        "WITH oldest AS (SELECT id FROM webhook_events ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)"
        " DELETE FROM webhook_events AS e USING oldest WHERE e.id = oldest.id"
        " RETURNING e.id, e.event_id, e.event_type, e.namespace_id, e.subject_id, e.metadata, e.occurred_at",
        (limit,),
    )
    return [
        Event(event_id, event_type, namespace_id, subject_id, orjson.loads(metadata), occurred_at)
        for _, event_id, event_type, namespace_id, subject_id, metadata, occurred_at in sorted(
            await cursor.fetchall()
        )
    ]


async def load_webhooks(connection: Connection) -> list[Webhook]:
    """Every webhook there is."""
    found = await select_definitions(connection, "d.kind = 'webhook' AND d.namespace_id = ''", {})
    return [webhook(stored.record.id, stored.body) for stored in found]


def _row(delivery: Delivery, now: datetime) -> tuple[object, ...]:
    return (
        delivery.execution_id,
        delivery.channel_index,
        delivery.namespace_id,
        delivery.alert_id,
        delivery.channel_type,
        delivery.channel,
        delivery.webhook_id,
        delivery.payload,
        "pending" if delivery.problem is None else "failed",
        delivery.problem,
        now,
        now,
        now,
    )
