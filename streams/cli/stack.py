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
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import aiohttp
from cryptography.fernet import Fernet

from streams.runtime.children import Child, ChildFailedError, free_port
from streams.runtime.dev.broker import BrokerKind, embedded_broker
from streams.runtime.dev.database import PostgresServer
from streams.settings import Settings

READY_SECONDS = 90.0
_ASSIGNED = re.compile(r'^tidewatch_rebalances_total\{station="(\w+)"\} (\d+)', re.MULTILINE)
_GROUPS = frozenset(("match", "collect", "notify", "query"))
"""Stations that wait for partitions when they start."""

ONE_WORKER: Sequence[str] = ("match,collect,trigger,act,index,notify,relay",)
TWO_WORKERS: Sequence[str] = ("match,notify,relay", "collect,trigger,act,index")
"""Stations by process: two processes use two cores."""

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
    workers: Sequence[str] = ONE_WORKER,
    progress: Progress = lambda _: None,
) -> AsyncIterator[Stack]:
    """Start everything and yield when it answers; stop it all at the end. ``workers`` are the stations of each
    worker process.

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
        processes: list[Child] = []
        stack.push_async_callback(_stop_all, processes)
        metrics = [(free_port(), stations) for stations in workers]
        for number, (metrics_port, stations) in enumerate(metrics):
            name = "worker" if len(workers) == 1 else f"worker-{number + 1}"
            given = {**environment, "TIDEWATCH_METRICS_PORT": str(metrics_port)}
            processes.append(await _start(name, ["worker", "--stations", stations], given, logs))
        processes.append(await _start("query", ["query"], environment, logs))
        for child, (answering, stations) in zip(processes, [*metrics, (port, "query")], strict=True):
            groups = _GROUPS & frozenset(stations.split(","))
            await _wait_until_ready(child, f"http://127.0.0.1:{answering}/metrics", api_key, groups)
        yield Stack(
            environment["TIDEWATCH_URL"],
            api_key,
            "default",
            address.bootstrap,
            database.dsn,
            logs,
            environment,
            (database.child, address.child, *processes),
        )


def _check_port(port: int) -> int:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return port
    except OSError as error:
        raise ChildFailedError(
            f"port {port} cannot be used: {error.strerror}; choose another with --port"
        ) from error


async def _start(name: str, command: Sequence[str], environment: dict[str, str], logs: Path) -> Child:
    return await Child.start(
        name,
        [sys.executable, "-m", "streams.cli.main", *command],
        log=logs / f"{name}.log",
        environment={**environment, "TIDEWATCH_LOG_FORMAT": "json"},
    )


def _remove_unless_failed(logs: Path) -> Callable[[object, BaseException | None, object], None]:
    def leave(_: object, error: BaseException | None, __: object) -> None:
        if not isinstance(error, Exception):
            shutil.rmtree(logs, ignore_errors=True)

    return leave


async def _stop_all(children: list[Child]) -> None:
    await asyncio.gather(*(child.stop() for child in children))


async def _wait_until_ready(child: Child, metrics: str, api_key: str, groups: frozenset[str]) -> None:
    """Wait until the child's document stations have been given their partitions."""
    waiting = groups
    headers = {"Authorization": f"Bearer {api_key}"}
    try:
        async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession(headers=headers) as client:
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
