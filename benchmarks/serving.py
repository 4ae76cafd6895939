"""What the benchmarks over HTTP share: services as processes, requests at their due times, quantiles."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from streams.settings import Settings

KEY = "sk_benchmark"


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """Variables for a process of the system."""
    given = {
        "KAFKA": settings.kafka,
        "DATABASE": settings.database,
        "TOPIC_PREFIX": settings.topic_prefix,
        "PARTITIONS": str(settings.partitions),
        "REPLICATION": "1",
        "API_KEY": KEY,
        "RATE_LIMIT": "0",
        "LOG_LEVEL": "warning",
        **more,
    }
    return {**os.environ, **{f"TIDEWATCH_{name}": value for name, value in given.items()}}


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def running(variables: Mapping[str, str], *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """``tidewatch`` with these arguments; ended by SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streams.cli.main", *arguments, env=dict(variables), stdout=sys.stderr
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


def processor_seconds(pid: int) -> float:
    """What a process and those it began, which run still, have used of the processors."""
    used, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        with open(f"/proc/{one}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        used += int(fields[11]) + int(fields[12])
        with open(f"/proc/{one}/task/{one}/children") as file:
            waiting += map(int, file.read().split())
    return used / os.sysconf("SC_CLK_TCK")


async def answering(http: aiohttp.ClientSession, seconds: float = 60.0) -> None:
    """Wait until a service answers."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                async with http.get("/v1/health") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


def session(port: int, namespace: str) -> aiohttp.ClientSession:
    """A client with the benchmark's key."""
    headers = {"Authorization": f"Bearer {KEY}", "X-Namespace": namespace}
    # The service closes connections that are idle for 5 s: a request must not meet that.
    connector = aiohttp.TCPConnector(keepalive_timeout=2)
    return aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers, connector=connector)


async def at_rate(rate: float, count: int, ask: Callable[[int], Awaitable[None]]) -> list[float]:
    """Seconds from when each of ``count`` requests was due, at ``rate`` a second, until it was answered."""
    begun = time.perf_counter() + 0.05
    taken = [0.0] * count

    async def one(number: int, due: float) -> None:
        await ask(number)
        taken[number] = time.perf_counter() - due

    tasks = []
    for number in range(count):
        due = begun + number / rate
        if (ahead := due - time.perf_counter()) > 0:
            await asyncio.sleep(ahead)
        tasks.append(asyncio.create_task(one(number, due)))
    await asyncio.gather(*tasks)
    return taken


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(values: Sequence[float]) -> dict[str, Any]:
    """Quantiles of seconds, in milliseconds."""
    return {f"p{round(share * 100)}": round(1_000 * quantile(values, share), 2) for share in (0.5, 0.9, 0.99)}
