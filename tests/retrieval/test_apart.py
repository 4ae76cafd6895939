"""Stages in a thread of their own: what ends them early."""

import asyncio
import time
from collections.abc import Mapping

import pytest

from schemas.events.document import UPSERTED, DocumentEvent
from streams.engines.retrieval.errors import BudgetError
from streams.engines.retrieval.execution.corpus import Corpus, Scope
from streams.retrieval.apart import Deadline, apart
from streams.retrieval.corpus import PostgresCorpus
from streams.retrieval.reading import Stored
from streams.runtime.agent import Context
from tests.retrieval.storing import AT, NS, store


class Slow(PostgresCorpus):
    """A corpus whose database takes long to count."""

    async def count(self, scope: Scope) -> int:
        """Ten seconds."""
        await self._stored.connection.execute("SELECT pg_sleep(10)")
        return await super().count(scope)

    def position(self) -> Mapping[str, int]:
        """Nowhere."""
        return {}


async def counted(corpus: Corpus) -> int:
    return await corpus.count(Scope())


async def test_a_statement_that_takes_too_long_is_a_budget_used_up(context: Context) -> None:
    deadline = Deadline(time.monotonic, 100)
    async with context.database.transaction(snapshot=True) as connection:
        await connection.execute("SET LOCAL statement_timeout = 100")
        slow = Slow(Stored(connection, NS), {}, deadline)
        with pytest.raises(BudgetError, match="Budget exceeded: 100 ms used of 100 ms allowed"):
            await apart(counted, slow, deadline)
    # The connection can be used again.
    async with context.database.transaction() as connection:
        await connection.execute("SELECT 1")


async def test_a_statement_does_not_outlive_the_time_of_its_execution(context: Context) -> None:
    deadline = Deadline(time.monotonic, 300)
    started = time.monotonic()
    async with context.database.transaction(snapshot=True) as connection:
        slow = Slow(Stored(connection, NS), {}, deadline)
        with pytest.raises(BudgetError, match="of 300 ms allowed"):
            await apart(counted, slow, deadline)
    assert time.monotonic() - started < 5


async def test_what_is_stopped_does_not_wait_for_the_database(context: Context) -> None:
    deadline = Deadline(time.monotonic, 60_000)
    started = time.monotonic()
    async with context.database.transaction(snapshot=True) as connection:
        slow = Slow(Stored(connection, NS), {}, deadline)
        running = asyncio.create_task(apart(counted, slow, deadline))
        await asyncio.wait([running], timeout=0.3)
        deadline.stop()
        with pytest.raises(BudgetError, match="was stopped"):
            await running
    assert time.monotonic() - started < 5
    async with context.database.transaction() as connection:
        await connection.execute("SELECT 1")


async def test_nothing_is_asked_after_the_time_is_over(context: Context) -> None:
    await store(context.database, [DocumentEvent(UPSERTED, NS, "col_a", "d", AT)])
    deadline = Deadline(time.monotonic, 60_000)
    async with context.database.transaction(snapshot=True) as connection:
        corpus = await PostgresCorpus.open(connection, NS, deadline)
        assert await apart(counted, corpus, deadline) == 1
        deadline.stop()
        with pytest.raises(BudgetError, match="was stopped"):
            await apart(counted, corpus, deadline)


async def test_who_is_cancelled_leaves_no_thread_at_the_connection(context: Context) -> None:
    deadline = Deadline(time.monotonic, 60_000)
    ended: list[str] = []

    async def forever(corpus: Corpus) -> None:
        try:
            while True:
                await corpus.count(Scope())
        finally:
            ended.append("thread")

    async with context.database.transaction(snapshot=True) as connection:
        corpus = await PostgresCorpus.open(connection, NS, deadline)
        running = asyncio.create_task(apart(forever, corpus, deadline))
        await asyncio.wait([running], timeout=0.2)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert ended == ["thread"]
