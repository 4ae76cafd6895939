"""What tests share: waiting for a condition, a loop in a thread for servers, and brokers by preference."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from streams.runtime.dev.broker import BrokerKind, embedded_broker
from streams.runtime.dev.kafka import unavailable
from tests.containers import docker_answers, kafka_container, postgres_container

T = TypeVar("T")


class Runs(Protocol):
    """What runs until it is told to stop."""

    async def run(self) -> None:
        """Until then."""
        ...

    def stop(self) -> None:
        """Tell it."""
        ...


R = TypeVar("R", bound=Runs)


@asynccontextmanager
async def at_work(station: R, seconds: float = 30.0) -> AsyncIterator[R]:
    """A station that runs as long as the block; what it raises is raised when the block ends."""
    task = asyncio.create_task(station.run())
    try:
        yield station
    finally:
        station.stop()
        await asyncio.wait_for(task, seconds)


async def eventually(
    predicate: Callable[[], Awaitable[T]], timeout: float = 20.0, every: float = 0.02, what: str = "condition"
) -> T:
    """Poll ``predicate`` until it returns something true; fail with its last answer when the time is up."""
    deadline = time.monotonic() + timeout
    while True:
        answer = await predicate()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout:g} s; last answer: {answer!r}")
        await asyncio.sleep(every)


class BackgroundLoop:
    """An event loop in a thread, for servers that outlive one test's loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="servers", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float = 180.0) -> T:
        """Run a coroutine there and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    def enter(self, manager: AbstractAsyncContextManager[T]) -> T:
        """Enter an async context manager there."""
        return self.run(manager.__aenter__())

    def leave(self, manager: AbstractAsyncContextManager[Any]) -> None:
        """Leave it again."""
        self.run(manager.__aexit__(None, None, None))

    def close(self) -> None:
        """Stop the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@dataclass(frozen=True)
class TestBroker:
    """The broker the suite runs on and why it is not a real Kafka, if it is not."""

    __test__ = False

    bootstrap: str
    idempotence: bool
    fetch_max_wait_ms: int
    kind: str
    not_real_because: str | None = None


@asynccontextmanager
async def chosen_broker(folder: Path) -> AsyncIterator[TestBroker]:
    """``TIDEWATCH_TEST_KAFKA`` if set, else a container, else the JVM, else Tansu."""
    given = os.environ.get("TIDEWATCH_TEST_KAFKA")
    if given:
        yield TestBroker(given, True, 500, "given")
        return
    docker_missing = docker_answers()
    if docker_missing is None:
        async with kafka_container() as bootstrap:
            yield TestBroker(bootstrap, True, 500, "container")
        return
    java_missing = unavailable()
    kind: BrokerKind = "tansu" if java_missing else "kafka"
    reason = f"{docker_missing}; {java_missing}" if java_missing else None
    async with embedded_broker(kind, folder) as address:
        yield TestBroker(
            address.bootstrap,
            address.idempotence,
            address.fetch_max_wait_ms,
            kind,
            reason,
        )


@asynccontextmanager
async def chosen_database(folder: Path) -> AsyncIterator[str]:
    """``TIDEWATCH_TEST_DATABASE`` if set, else a container, else the wheel's PostgreSQL."""
    given = os.environ.get("TIDEWATCH_TEST_DATABASE")
    if given:
        yield given
    elif docker_answers() is None:
        async with postgres_container() as dsn:
            yield dsn
    else:
        from streams.runtime.dev.database import embedded_database

        # Nothing here outlives the machine: tests need the semantics of the disk, not its speed.
        async with embedded_database(folder, options=("fsync=off",)) as dsn:
            yield dsn
