"""What the relay's tests share: running relays, filling the outbox, reading topics to their end."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from schemas.topics import Topic
from streams.relay.station import Relay
from streams.runtime.agent import Context
from streams.runtime.database import fetch_value
from streams.runtime.outbox import enqueue
from tests.support import at_work, eventually


def relaying(context: Context) -> AbstractAsyncContextManager[Relay]:
    """A running relay."""
    return at_work(Relay(context))


async def fill(context: Context, topic: Topic, values: Sequence[bytes], key: bytes | None = b"k") -> None:
    """Enqueue one row per value, in one transaction."""
    async with context.database.transaction() as connection:
        for value in values:
            await enqueue(connection, topic, key, value, {"x-test": "yes"})


async def waiting_rows(context: Context) -> int:
    """Rows in the outbox."""
    async with context.database.connection() as connection:
        return int(await fetch_value(connection, "SELECT count(*) FROM outbox"))


async def until_empty(context: Context) -> None:
    """Wait until the outbox is empty."""

    async def empty() -> bool:
        return await waiting_rows(context) == 0

    await eventually(empty, what="the outbox is empty")
