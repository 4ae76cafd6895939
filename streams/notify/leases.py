"""Delivery rows as work: which are due, whose they are for now, what became of an attempt."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from schemas.events.notification import DeliveryRecord
from schemas.topics import NOTIFICATIONS
from streams.notify.plan import AlertKey
from streams.notify.retry import Verdict
from streams.runtime.database import Connection
from streams.runtime.outbox import enqueue

KEPT: Final = timedelta(days=30)
"""How long finished rows are kept: as long as the results they belong to, so that a repeat is recognised."""

Address = tuple[str, str, bytes]
"""Namespace, alert and the identity of its channel."""


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery whose time has come."""

    execution_id: str
    channel_index: int
    namespace_id: str
    alert_id: str
    channel_type: str
    channel: bytes
    """The identity of the channel it was decided for."""

    @property
    def alert(self) -> AlertKey:
        """The alert it belongs to."""
        return (self.namespace_id, self.alert_id)

    @property
    def address(self) -> Address:
        """What shares one endpoint: a channel of an alert."""
        return (self.namespace_id, self.alert_id, self.channel)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours to attempt until the lease ends."""

    due: Due
    webhook_id: str
    payload: bytes
    attempts: int
    """Attempts before this one."""
    created_at: datetime
    lease_expires_at: datetime


_IS_DUE = (
    "state = 'pending' AND next_attempt_at <= %(now)s"
    " AND (lease_expires_at IS NULL OR lease_expires_at <= %(now)s)"
)


async def due_deliveries(
    connection: Connection, now: datetime, excluded: Collection[Address], limit: int
) -> list[Due]:
    """The longest due deliveries, without those of the ``excluded`` endpoints. Nothing is locked."""
    cursor = await connection.execute(
        "SELECT execution_id, channel_index, namespace_id, alert_id, channel_type, channel FROM deliveries"
        f" WHERE {_IS_DUE} AND (namespace_id, alert_id, channel) NOT IN"
        " (SELECT * FROM unnest(%(namespaces)s::text[], %(alerts)s::text[], %(channels)s::bytea[]))"
        " ORDER BY next_attempt_at LIMIT %(limit)s".encode(),
        {
            "now": now,
            "namespaces": [address[0] for address in excluded],
            "alerts": [address[1] for address in excluded],
            "channels": [address[2] for address in excluded],
            "limit": limit,
        },
    )
    return [Due(*row) for row in await cursor.fetchall()]


async def claim(connection: Connection, leases: Mapping[Due, datetime], now: datetime) -> list[Claimed]:
    """Take deliveries, each until its lease ends. Those that another sender took meanwhile are left out."""
    wanted = {(due.execution_id, due.channel_index): due for due in leases}
    cursor = await connection.execute(
        "WITH free AS (SELECT d.execution_id, d.channel_index, w.lease FROM deliveries AS d"
        " JOIN unnest(%(executions)s::text[], %(channels)s::int[], %(leases)s::timestamptz[])"
        "  AS w (execution_id, channel_index, lease) USING (execution_id, channel_index)"
        f" WHERE {_IS_DUE} FOR UPDATE OF d SKIP LOCKED)"
        " UPDATE deliveries AS d SET lease_expires_at = free.lease FROM free"
        " WHERE d.execution_id = free.execution_id AND d.channel_index = free.channel_index"
        " RETURNING d.execution_id, d.channel_index, d.webhook_id, d.payload, d.attempts, d.created_at,"
        " d.lease_expires_at".encode(),
        {
            "executions": [key[0] for key in wanted],
            "channels": [key[1] for key in wanted],
            "leases": [leases[due] for due in wanted.values()],
            "now": now,
        },
    )
    return [Claimed(wanted[row[0], row[1]], *row[2:]) for row in await cursor.fetchall()]


async def record_attempt(
    connection: Connection, claimed: Claimed, verdict: Verdict, notice: DeliveryRecord, now: datetime
) -> bool:
    """Write down an attempt and queue its record, in the caller's transaction. False, and nothing is written,
    when the lease ended and another sender has the delivery."""
    state = {"delivered": "delivered", "deferred": "pending"}.get(verdict.status, "failed")
    updated = await connection.execute(
        "UPDATE deliveries SET state = %s, attempts = %s, next_attempt_at = coalesce(%s, next_attempt_at),"
        " lease_expires_at = NULL, last_error = %s, updated_at = %s"
        " WHERE execution_id = %s AND channel_index = %s AND state = 'pending' AND lease_expires_at = %s",
        (
            state,
            claimed.attempts + 1,
            verdict.next_attempt_at,
            verdict.error,
            now,
            claimed.due.execution_id,
            claimed.due.channel_index,
            claimed.lease_expires_at,
        ),
    )
    if updated.rowcount != 1:
        return False
    await enqueue(connection, NOTIFICATIONS, notice.key, notice.encode())
    return True


async def forget_old(connection: Connection, now: datetime) -> int:
    """Delete rows finished longer than :data:`KEPT` ago; returns how many."""
    deleted = await connection.execute(
        "DELETE FROM deliveries WHERE state <> 'pending' AND updated_at < %s", (now - KEPT,)
    )
    return deleted.rowcount
