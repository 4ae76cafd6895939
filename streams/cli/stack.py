"""The laptop stack: broker, database, worker and query service as children of this process.

``tidewatch dev`` runs it empty, ``tidewatch demo`` fills it. No child outlives this process, however it ends.
"""

import asyncio
import contextlib
import re
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import aiohttp
from cryptography.fernet import Fernet

from streams.runtime.dev.broker import BrokerKind, embedded_broker
from streams.runtime.dev.database import PostgresServer
from streams.runtime.dev.process import Child, ChildFailedError, free_port
from streams.settings import Settings

READY_SECONDS = 90.0
_ASSIGNED = re.compile(r'^tidewatch_rebalances_total\{station="(\w+)"\} (\d+)', re.MULTILINE)
_WORKER_GROUPS = frozenset(("match", "collect", "notify"))
_QUERY_GROUPS = frozenset(("query",))

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack and how to reach it."""

    url: str
    api_key: str
    namespace: str
    kafka: str
    database: str
    logs: Path
    environment: dict[str, str]
    """The variables that give a process the settings of this stack."""
    children: tuple[Child, ...]

    def settings(self) -> Settings:
        """The same for this process."""
        given = {name.removeprefix("TIDEWATCH_").lower(): value for name, value in self.environment.items()}
        return Settings(**{**given, "kafka_options": {}})  # type: ignore[arg-type]

    async def ended(self) -> NoReturn:
        """Wait until a child ends; raises :class:`ChildFailedError` with the last lines of its log."""
        waits = [asyncio.create_task(child.process.wait()) for child in self.children]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        for child in self.children:
            child.check()
        raise AssertionError("a child ended without an exit code")


@contextlib.asynccontextmanager
async def run_stack(
    *,
    broker: BrokerKind = "tansu",
    port: int | None = None,
    api_key: str | None = None,
    partitions: int | None = None,
    progress: Progress = lambda _: None,
) -> AsyncIterator[Stack]:
    """Start everything and yield when it answers; stop it all at the end.

    Raises :class:`ChildFailedError`; then the logs are kept.
    """
    port = free_port() if port is None else _check_port(port)
    api_key = api_key or f"sk_{secrets.token_urlsafe(24)}"
    logs = Path(tempfile.mkdtemp(prefix="tidewatch-"))
    async with contextlib.AsyncExitStack() as stack:
        stack.push(_remove_unless_failed(logs))
        progress("database")
        database = PostgresServer(logs)
        stack.push_async_callback(database.remove)
        await database.start()
        assert database.child is not None
        progress("Kafka" if broker == "kafka" else "broker")
        address = await stack.enter_async_context(embedded_broker(broker, logs))
        environment = {
            **address.environment(),
            "TIDEWATCH_DATABASE": database.dsn,
            "TIDEWATCH_URL": f"http://127.0.0.1:{port}",
            "TIDEWATCH_HOST": "127.0.0.1",
            "TIDEWATCH_PORT": str(port),
            "TIDEWATCH_API_KEY": api_key,
            "TIDEWATCH_NAMESPACE": "default",
            "TIDEWATCH_SECRET_KEY": Fernet.generate_key().decode(),
            "TIDEWATCH_ALLOW_PRIVATE_WEBHOOKS": "true",
            # What the user's shell says about another cluster is not for this one.
            "TIDEWATCH_TOPIC_PREFIX": "",
            "TIDEWATCH_KAFKA_OPTIONS": "{}",
        }
        if partitions is not None:
            environment["TIDEWATCH_PARTITIONS"] = str(partitions)
        progress("worker and query service")
        metrics_port = free_port()
        processes: list[Child] = []
        stack.push_async_callback(_stop_all, processes)
        worker = await _start("worker", {**environment, "TIDEWATCH_METRICS_PORT": str(metrics_port)}, logs)
        processes.append(worker)
        query = await _start("query", environment, logs)
        processes.append(query)
        await _wait_until_ready(worker, f"http://127.0.0.1:{metrics_port}/metrics", _WORKER_GROUPS)
        await _wait_until_ready(query, f"http://127.0.0.1:{port}/metrics", _QUERY_GROUPS)
        yield Stack(
            environment["TIDEWATCH_URL"],
            api_key,
            "default",
            address.bootstrap,
            database.dsn,
            logs,
            environment,
            (database.child, address.child, worker, query),
        )


def _check_port(port: int) -> int:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return port
    except OSError as error:
        raise ChildFailedError(
            f"port {port} cannot be used: {error.strerror}; choose another with --port"
        ) from error


async def _start(command: str, environment: dict[str, str], logs: Path) -> Child:
    return await Child.start(
        command,
        [sys.executable, "-m", "streams.cli.main", command],
        log=logs / f"{command}.log",
        environment={**environment, "TIDEWATCH_LOG_FORMAT": "json"},
    )


def _remove_unless_failed(logs: Path) -> Callable[[object, BaseException | None, object], None]:
    def leave(_: object, error: BaseException | None, __: object) -> None:
        if not isinstance(error, Exception):
            shutil.rmtree(logs, ignore_errors=True)

    return leave


async def _stop_all(children: list[Child]) -> None:
    await asyncio.gather(*(child.stop() for child in children))


async def _wait_until_ready(child: Child, metrics: str, groups: frozenset[str]) -> None:
    """Wait until the child's document stations have been given their partitions."""
    waiting = groups
    try:
        async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as client:
            while True:
                child.check()
                with contextlib.suppress(aiohttp.ClientError):
                    async with client.get(metrics) as answer:
                        found = {name for name, count in _ASSIGNED.findall(await answer.text()) if count != "0"}
                        waiting = groups - found
                        if not waiting:
                            return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise ChildFailedError(
            f"{child.name} was not ready after {READY_SECONDS:g} s (waiting for {', '.join(sorted(waiting))}); "
            f"its log {child.log} ends:\n{child.tail()}"
        ) from None
