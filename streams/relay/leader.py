"""Leadership: one relay publishes at a time, held by a session advisory lock.

The lock, the reading and the deleting of rows share one connection. A leader that has lost the connection can
therefore not delete anything any more: the worst it can do is to have published rows that the next leader
publishes again, and readers drop what they have (design section 1).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg

from streams.runtime.backoff import pause
from streams.runtime.database import Connection, fetch_value

LOCK: Final = 7_431_002
"""Advisory lock of the relay; locks belong to a database, and a database to one stream."""
STANDBY_SECONDS: Final = 0.5
"""How often a standby tries. It polls: a blocking wait would hold a snapshot open and stop vacuum."""


@asynccontextmanager
async def leadership(dsn: str, stopping: asyncio.Event) -> AsyncIterator[Connection | None]:
    """Wait for the lock; yields the connection that holds it, or ``None`` when asked to stop before.

    The lock ends with the context. Raises ``psycopg.OperationalError`` when the database is not there.
    """
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, connect_timeout=10) as connection:
        # The server's side: a leader whose machine is gone gives the lock up within half a minute.
        for name, seconds in (("idle", 10), ("interval", 5), ("count", 3)):
            await connection.execute(f"SET tcp_keepalives_{name} = {seconds}".encode())
        while not stopping.is_set():
            if await fetch_value(connection, "SELECT pg_try_advisory_lock(%s)", (LOCK,)):
                yield connection
                return
            await pause(stopping, STANDBY_SECONDS)
        yield None
