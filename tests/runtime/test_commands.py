"""Pins what :mod:`streams.runtime.commands` relies on of Faust, on every broker: each message once and in order,
an agent that returns normally keeps going, positions survive a restart, and an end within two seconds."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from schemas.topics import TRIGGER_COMMANDS, Topic
from streams.runtime.broker import Broker, Sends
from streams.runtime.commands import Commands
from streams.runtime.dev.broker import embedded_broker
from streams.settings import Settings
from tests.support import TestBroker, eventually

MESSAGES = 300


class Collector:
    """A command agent that remembers what it was given."""

    name = "collector"
    listens: Topic = TRIGGER_COMMANDS

    def __init__(self) -> None:
        self.seen: list[bytes | None] = []

    async def run(self) -> None:
        """Nothing beside listening."""

    def stop(self) -> None:
        """Nothing to stop."""

    async def receive(self, value: bytes | None) -> None:
        """Remember."""
        self.seen.append(value)
        await asyncio.sleep(0)


@pytest.fixture(params=["chosen", "tansu"])
async def broker(
    request: pytest.FixtureRequest, broker_server: TestBroker, tmp_path: Path
) -> AsyncIterator[Broker]:
    """The run's broker, and Tansu when that is another one; with topics of their own."""
    settings = Settings(
        kafka=broker_server.bootstrap,
        kafka_idempotence=broker_server.idempotence,
        kafka_fetch_max_wait_ms=broker_server.fetch_max_wait_ms,
        topic_prefix=f"faust-{time.time_ns()}-",
        partitions=3,
        replication=1,
    )
    if request.param == "chosen":
        fresh = Broker(settings)
        await fresh.create_topics()
        yield fresh
        return
    if broker_server.kind == "tansu":
        pytest.skip("the run's broker is Tansu already")
    async with embedded_broker("tansu", tmp_path) as address:
        fresh = Broker(
            settings.model_copy(
                update={
                    "kafka": address.bootstrap,
                    "kafka_idempotence": address.idempotence,
                    "kafka_fetch_max_wait_ms": address.fetch_max_wait_ms,
                }
            )
        )
        await fresh.create_topics()
        yield fresh


@asynccontextmanager
async def running(broker: Broker, collector: Collector) -> AsyncIterator[asyncio.Task[None]]:
    commands = Commands(broker, [collector])
    task = asyncio.create_task(commands.run())
    try:
        yield task
    finally:
        commands.stop()
        started = time.monotonic()
        await task
        assert time.monotonic() - started < 5, "promised are two seconds; the machine may be busy"


async def send(broker: Broker, first: int, count: int) -> None:
    producer = broker.producer()
    await producer.start()
    try:
        sends = Sends(producer)
        for number in range(first, first + count):
            partition = number % 3
            await sends.send(
                broker.topic(TRIGGER_COMMANDS), b"k", f"{partition}:{number}".encode(), partition=partition
            )
        await sends.acknowledged()
    finally:
        await producer.stop()


def by_partition(seen: list[bytes | None]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for value in seen:
        assert value is not None
        partition, number = value.decode().split(":")
        found[int(partition)].append(int(number))
    return found


def expected(first: int, count: int) -> dict[int, list[int]]:
    return {p: [n for n in range(first, first + count) if n % 3 == p] for p in range(3)}


async def test_every_message_once_in_order_also_over_a_restart(broker: Broker) -> None:
    first, second = Collector(), Collector()
    await send(broker, 0, MESSAGES)
    async with running(broker, first):

        async def all_seen() -> bool:
            return len(first.seen) >= MESSAGES

        await eventually(all_seen)
        await send(broker, MESSAGES, 3)

        async def three_more() -> bool:
            return len(first.seen) >= MESSAGES + 3

        await eventually(three_more)
    assert by_partition(first.seen) == expected(0, MESSAGES + 3)

    await send(broker, MESSAGES + 3, MESSAGES)
    async with running(broker, second):

        async def rest_seen() -> bool:
            return len(second.seen) >= MESSAGES

        await eventually(rest_seen)
    assert by_partition(second.seen) == expected(MESSAGES + 3, MESSAGES)


async def test_a_stop_before_faust_has_joined_ends_it(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "started-here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    async with running(broker, Collector()):
        await asyncio.sleep(0)
    assert not list(folder.iterdir()), "Faust leaves nothing where the process was started"
