"""A running system of real processes that a test may kill, and what it left behind."""

import asyncio
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas.events.document import DocumentEvent
from schemas.headers import DefinitionsVersion
from schemas.topics import Topic
from streams.cli.settling import documents_open, effects_open
from streams.runtime.broker import Broker, end_offsets
from streams.runtime.children import Child, free_port
from streams.runtime.faults import VARIABLE
from streams.runtime.publisher import Publisher
from streams.settings import Settings
from tests.support import eventually
from tests.victim import variables

API_KEY = "sk_test"


class System:
    """Worker and query processes over one broker and database. Stop it in a ``finally``."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        self.settings = settings
        self.broker = Broker(settings)
        self.logs = logs
        self.children: dict[str, Child] = {}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.namespace_id = ""
        self.definitions: DefinitionsVersion | None = None

    def environment(self) -> dict[str, str]:
        """The settings as variables for a child process."""
        return {
            **variables(self.settings),
            "TIDEWATCH_API_KEY": API_KEY,
            "TIDEWATCH_URL": self.url,
            "TIDEWATCH_PORT": str(self.port),
            "TIDEWATCH_JOB_LEASE_SECONDS": "3",
            "TIDEWATCH_BATCH_DOCUMENTS": "400",
            "TIDEWATCH_LOG_FORMAT": "json",
        }

    async def start(self, name: str, *command: str, fault: str | None = None) -> Child:
        """Start ``tidewatch <command>`` under a stable instance name, so that a restart takes its partitions
        back at once; with ``fault`` it kills itself at that point."""
        environment = {**self.environment(), "TIDEWATCH_INSTANCE": name}
        if fault is not None:
            environment[VARIABLE] = fault
        child = await Child.start(
            name,
            [sys.executable, "-m", "streams.cli.main", *command],
            log=self.logs / f"{name}.log",
            environment=environment,
        )
        self.children[name] = child
        return child

    async def start_worker(self, name: str, stations: str | None = None, fault: str | None = None) -> Child:
        """Start a worker with some of the stations, or all."""
        return await self.start(name, "worker", *(("--stations", stations) if stations else ()), fault=fault)

    async def start_query(self, fault: str | None = None) -> Child:
        """Start the query service."""
        return await self.start("query", "query", fault=fault)

    async def kill(self, name: str) -> None:
        """SIGKILL a child and wait for its end."""
        child = self.children[name]
        if child.process.returncode is None:
            child.process.kill()
        await child.process.wait()

    async def stop(self) -> None:
        """End every child."""
        await asyncio.gather(*(child.stop() for child in self.children.values()))

    def check(self) -> None:
        """Raise if a child has ended."""
        for child in self.children.values():
            child.check()

    async def died_of_its_fault(self, child: Child, timeout: float = 60.0) -> None:
        """Wait until a child has killed itself."""

        async def ended() -> bool:
            return child.process.returncode is not None

        await eventually(ended, timeout, what=f"{child.name} dies at its fault point")
        # The query service supervises its materialiser, and ends with it and says how that ended.
        supervised = child.process.returncode == 1 and f"was killed by {signal.SIGKILL.name}" in child.tail(40)
        assert child.process.returncode == -signal.SIGKILL or supervised, child.tail(40)

    async def answers(self) -> None:
        """Wait until the query service answers."""

        async def healthy() -> bool:
            self.children["query"].check()
            try:
                async with aiohttp.ClientSession() as client, client.get(f"{self.url}/v1/health") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        await eventually(healthy, 60, what="the query service answers")

    async def get(self, path: str, method: str = "GET", body: object = None) -> Any:
        """One call of the HTTP API; fails on an error status."""
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with (
            aiohttp.ClientSession(headers=headers) as client,
            client.request(method, self.url + path, json=body) as answer,
        ):
            parsed = await answer.json() if answer.content_length else None
            assert answer.status < 300, parsed
            return parsed

    async def apply(self, manifest: str) -> None:
        """Run ``tidewatch apply``, and :meth:`learn`."""
        path = self.logs / "manifest.yaml"
        path.write_text(manifest)
        child = await self.start("apply", "apply", str(path))
        assert await child.process.wait() == 0, child.tail(40)
        del self.children["apply"]
        await self.learn()

    async def learn(self) -> None:
        """Learn the namespace and the definitions version, which :meth:`publish` gives with each event."""
        self.namespace_id = (await self.get("/v1/namespaces/default"))["namespace_id"]
        epoch, number = self.row("SELECT epoch::text, definitions_version FROM stream_identity")
        self.definitions = DefinitionsVersion(epoch, number)

    async def publish(self, events: Iterable[DocumentEvent], pause_every: int = 0, pause: float = 0.05) -> None:
        """Publish events in order, with a short pause after every ``pause_every``."""
        async with Publisher(self.broker, definitions=self.definitions) as publisher:
            for number, event in enumerate(events, 1):
                await publisher.publish(event)
                if pause_every and number % pause_every == 0:
                    await asyncio.sleep(pause)

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows of a query, over a connection of its own."""
        with psycopg.connect(self.settings.database, autocommit=True) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def row(self, query: str, *parameters: object) -> tuple[Any, ...]:
        """The first row of a query."""
        return self.rows(query, *parameters)[0]

    async def read(self, topic: Topic) -> list[ConsumerRecord]:
        """Every record of a topic."""
        consumer: AIOKafkaConsumer = self.broker.consumer()
        await consumer.start()
        try:
            name = self.broker.topic(topic)
            ends = {
                TopicPartition(name, number): end for number, end in (await end_offsets(consumer, name)).items()
            }
            consumer.assign(sorted(ends))
            await consumer.seek_to_beginning(*ends)
            records: list[ConsumerRecord] = []
            waiting = {tp for tp, end in ends.items() if end > 0}
            while waiting:
                for tp, batch in (await consumer.getmany(timeout_ms=1_000)).items():
                    records.extend(batch)
                    if batch[-1].offset + 1 >= ends[tp]:
                        waiting.discard(tp)
            return records
        finally:
            await consumer.stop()

    async def settled(self, timeout: float = 90.0) -> None:
        """Wait until every record published so far has gone the whole way: stored, checked, decided, run,
        published and visible."""
        reasons = ["not looked yet"]
        consumer: AIOKafkaConsumer = self.broker.consumer()
        await consumer.start()

        async def done() -> bool:
            self.check()
            async with await psycopg.AsyncConnection.connect(
                self.settings.database, autocommit=True
            ) as connection:
                reasons[:] = await documents_open(connection, consumer, self.broker)
                reasons.extend(await effects_open(connection, consumer, self.broker))
            return not reasons

        try:
            await eventually(done, timeout, every=0.1, what="the system settles")
        except AssertionError as error:
            tails = "\n".join(f"--- {child.name}\n{child.tail(8)}" for child in self.children.values())
            raise AssertionError(f"{error}; still open: {reasons}\n{tails}") from None
        finally:
            await consumer.stop()
