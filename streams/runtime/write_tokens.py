"""Write tokens: given out with a write, and resolved to where the relay published it (:mod:`schemas.write_token`).

A token is the number of the transaction that wrote. Every record a transaction leaves in the outbox carries that
number; the relay notes where it published them in the transaction that deletes them. So a token needs no plumbing:
whoever writes asks for it anywhere in the transaction, whatever it writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from schemas.topics import ALERT_RESULTS, DOCUMENTS, RETRIEVER_EXECUTIONS, TRIGGER_RESULTS, Topic
from schemas.write_token import write_token
from streams.runtime.database import Connection, columns, fetch_value

AWAITED: Final[tuple[Topic, ...]] = (DOCUMENTS, ALERT_RESULTS, RETRIEVER_EXECUTIONS, TRIGGER_RESULTS)
"""Topics whose records change what is read."""
KEPT_HOURS: Final = 1
"""How long it is known where a transaction's records went; a token that is older is taken as applied."""


@dataclass(frozen=True, slots=True)
class Place:
    """Behind the last record of a write in one partition of a topic (its logical name)."""

    topic: str
    partition: int
    next_offset: int


async def current_token(connection: Connection) -> str:
    """The token of the caller's transaction. It may be given out once the transaction has committed."""
    number = await fetch_value(connection, "SELECT pg_current_xact_id()::text")
    return write_token(int(number))


async def published_places(connection: Connection, transactions: Sequence[int]) -> list[Place] | None:
    """Where the records of transactions were published; ``None`` while some wait for the relay."""
    numbers = [str(number) for number in transactions]
    cursor = await connection.execute(
        "SELECT topic, partition, max(next_offset), EXISTS (SELECT FROM outbox"
        "  WHERE transaction_id = ANY(%(numbers)s::xid8[]) AND topic = ANY(%(awaited)s)) FROM"
        " (SELECT topic, partition, next_offset FROM published WHERE transaction_id = ANY(%(numbers)s::xid8[])"
        "  UNION ALL SELECT '', -1, 0) AS places GROUP BY topic, partition",
        {"numbers": numbers, "awaited": [topic.name for topic in AWAITED]},
    )
    rows = await cursor.fetchall()
    if any(waiting for *_, waiting in rows):
        return None
    return [Place(topic, partition, offset) for topic, partition, offset, _ in rows if topic]


async def move_to_published(connection: Connection, ids: Sequence[int], places: Sequence[Place | None]) -> None:
    """Delete outbox rows that were acknowledged, and note in the same statement where they were put. ``places``
    goes with ``ids``; ``None`` for what nobody waits for."""
    placed = [
        (row, place.topic, place.partition, place.next_offset)
        for row, place in zip(ids, places, strict=True)
        if place is not None
    ]
    await connection.execute(
        "WITH gone AS (DELETE FROM outbox WHERE id = ANY(%s) RETURNING id, transaction_id)"
        " INSERT INTO published (transaction_id, topic, partition, next_offset)"
        " SELECT gone.transaction_id, p.topic, p.partition, max(p.next_offset)"
        " FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::bigint[]) AS p (id, topic, partition, next_offset)"
        " JOIN gone ON gone.id = p.id GROUP BY 1, 2, 3"
        " ON CONFLICT (transaction_id, topic, partition) DO UPDATE SET"
        " next_offset = greatest(published.next_offset, EXCLUDED.next_offset)",
        (list(ids), *columns(placed, 4)),
    )


async def forget_published(connection: Connection) -> None:
    """Drop what is older than :data:`KEPT_HOURS`."""
    await connection.execute(
        "DELETE FROM published WHERE published_at < now() - make_interval(hours => %s)", (KEPT_HOURS,)
    )
