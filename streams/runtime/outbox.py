"""The outbox: records that must be published if, and only if, a transaction commits."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from psycopg.types.json import Jsonb

from schemas.topics import Topic
from streams.runtime.database import Connection, notify

CHANNEL = "tidewatch_outbox"
"""PostgreSQL notification channel that wakes the relay."""
MAX_RECORD_BYTES = 900_000
"""Largest record a write may put on a topic: brokers take one megabyte by default, headers included."""


async def enqueue(
    connection: Connection,
    topic: Topic,
    key: bytes | None,
    value: bytes | None,
    headers: dict[str, str] | None = None,
) -> None:
    """Add one record to the caller's transaction. The relay publishes it after the commit, in id order."""
    await connection.execute(
        "INSERT INTO outbox (topic, key, value, headers) VALUES (%s, %s, %s, %s)",
        (topic.name, key, value, Jsonb(list((headers or {}).items()))),
    )
    await notify(connection, CHANNEL)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to publish."""

    key: bytes
    value: bytes | None
    headers: dict[str, str] = field(default_factory=dict)


async def enqueue_all(connection: Connection, topic: Topic, records: Iterable[Outgoing]) -> None:
    """Add records to the caller's transaction, in order. The relay publishes them after the commit."""
    rows = list(records)
    if not rows:
        return
    await connection.execute(
        "INSERT INTO outbox (topic, key, value, headers) SELECT %b, t.key, t.value, coalesce(t.headers, '[]')"
        " FROM unnest(%b::bytea[], %b::bytea[], %b::jsonb[]) WITH ORDINALITY AS t (key, value, headers, n)"
        " ORDER BY n",
        (
            topic.name,
            [row.key for row in rows],
            [row.value for row in rows],
            [Jsonb(list(row.headers.items())) if row.headers else None for row in rows],
        ),
    )
    await notify(connection, CHANNEL)
