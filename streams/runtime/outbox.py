"""The outbox: records that must be published if, and only if, a transaction commits."""

from psycopg.types.json import Jsonb

from schemas.topics import Topic
from streams.runtime.database import Connection, notify

CHANNEL = "tidewatch_outbox"
"""PostgreSQL notification channel that wakes the relay."""


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
