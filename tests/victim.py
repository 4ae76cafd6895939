"""A station in a process of its own that a fault point kills, for tests of what it left behind."""

import asyncio
import os
import signal
import sys
from typing import Final

from streams.runtime.faults import VARIABLE
from streams.settings import Settings

_PROGRAM: Final = """
import asyncio
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.database import Database
from streams.settings import Settings
from streams.{station}.station import build
{setup}
async def main():
    settings = Settings()
    async with Database(settings) as database:
        await build(Context(settings, Broker(settings), database)).run()

asyncio.run(main())
"""


def variables(settings: Settings) -> dict[str, str]:
    """Settings of a test as environment variables of a child process."""
    given = {
        "TIDEWATCH_KAFKA": settings.kafka,
        "TIDEWATCH_KAFKA_IDEMPOTENCE": str(settings.kafka_idempotence).lower(),
        "TIDEWATCH_KAFKA_FETCH_MAX_WAIT_MS": str(settings.kafka_fetch_max_wait_ms),
        "TIDEWATCH_TOPIC_PREFIX": settings.topic_prefix,
        "TIDEWATCH_DATABASE": settings.database,
        "TIDEWATCH_ALLOW_PRIVATE_WEBHOOKS": "true",
    }
    if settings.partitions is not None:
        given["TIDEWATCH_PARTITIONS"] = str(settings.partitions)
    if settings.secret_key is not None:
        given["TIDEWATCH_SECRET_KEY"] = settings.secret_key.get_secret_value()
    return given


async def killed(settings: Settings, station: str, point: str, *, setup: str = "", **more: str) -> None:
    """Run a station until the fault ``point`` kills it; ``setup`` is Python that its process runs first, ``more``
    are variables without their prefix, in any case of letters."""
    given = {f"TIDEWATCH_{name.upper()}": value for name, value in more.items()}
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM.format(station=station, setup=setup)),
        env={**os.environ, **variables(settings), **given, VARIABLE: point},
    )
    assert await asyncio.wait_for(child.wait(), 90) == -signal.SIGKILL
