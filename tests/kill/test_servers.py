"""Broker and database are killed and started again in the middle of a stream: nothing is lost or doubled."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from schemas.events.document import DocumentEvent
from streams.runtime.children import free_port
from streams.runtime.dev.broker import BrokerAddress
from streams.runtime.dev.database import PostgresServer
from streams.runtime.dev.kafka import start_kafka, unavailable
from streams.settings import Settings
from tests.conftest import SECRET_KEY
from tests.kill.system import System
from tests.support import TestBroker, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.kill]

MANIFEST = """
kind: collection
collection_name: news
source: {type: direct_upsert}
---
kind: alert
name: storms
filter: {field: text, operator: text, value: storm}
collections: [news]
"""


class Servers:
    """A Kafka and a PostgreSQL of this test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.database = PostgresServer(folder)
        self.broker: BrokerAddress | None = None

    async def start_broker(self) -> None:
        self.broker = await start_kafka(self.folder, self.port)

    async def kill_broker(self) -> None:
        assert self.broker is not None
        self.broker.child.process.kill()
        await self.broker.child.process.wait()

    async def kill_database(self) -> None:
        child = self.database.child
        assert child is not None
        # SIGQUIT is PostgreSQL's immediate shutdown: no checkpoint, recovery from the log at the next start.
        # After SIGKILL of its first process alone the others would keep the data folder for a moment.
        child.process.send_signal(3)
        await child.process.wait()

    async def stop(self) -> None:
        if self.broker is not None:
            await self.broker.child.stop()
        await self.database.remove()


@pytest.fixture
async def servers_of_its_own(real_kafka: TestBroker, tmp_path: Path) -> AsyncIterator[Servers]:
    if (reason := unavailable()) is not None:
        pytest.skip(f"restarts a Kafka on the JVM: {reason}")
    servers = Servers(tmp_path / "servers")
    try:
        await servers.start_broker()
        await servers.database.start()
        yield servers
    finally:
        await servers.stop()


@pytest.mark.parametrize("victim", ["broker", "database"])
async def test_a_restart_in_the_middle_of_the_stream(servers_of_its_own: Servers, logs: Path, victim: str) -> None:
    servers = servers_of_its_own
    assert servers.broker is not None
    settings = Settings(
        kafka=servers.broker.bootstrap,
        partitions=3,
        database=servers.database.dsn,
        secret_key=SecretStr(SECRET_KEY),
    )
    system = System(settings, logs)
    try:
        await system.start_query()
        await system.start_worker("worker")
        await system.answers()
        await system.apply(MANIFEST)
        collection = (await system.get("/v1/collections/news"))["collection_id"]
        sent = itertools.count()

        def document() -> DocumentEvent:
            number = next(sent)
            text = "a storm" if number % 5 == 0 else "calm"
            moment = datetime.now(UTC)
            return DocumentEvent(
                "document.upserted", system.namespace_id, collection, f"d{number}", moment, text=text
            )

        await system.publish(document() for _ in range(500))

        async def some_are_visible() -> bool:
            return bool(system.row("SELECT count(*) FROM alert_executions")[0])

        await eventually(some_are_visible, 60)
        if victim == "broker":
            await system.publish(document() for _ in range(500))
            await servers.kill_broker()
            await asyncio.sleep(1)
            await servers.start_broker()
        else:
            async with asyncio.TaskGroup() as group:
                group.create_task(system.publish((document() for _ in range(500)), 50, 0.1))
                await servers.kill_database()
                await asyncio.sleep(1)
                await servers.database.start()
        await system.publish(document() for _ in range(500))
        await system.settled(timeout=120)
        storms = {f"d{number}" for number in range(0, next(sent), 5)}
        seen = system.rows(
            "SELECT r.document_id FROM alert_executions e JOIN result_documents r USING (day, base)"
        )
        assert Counter(name for (name,) in seen) == Counter(storms)
        assert system.row("SELECT count(*) FROM documents") == (1_500,)
        assert system.row("SELECT sum(added), sum(updated) FROM collection_counters") == (1_500, 0)
    finally:
        await system.stop()
