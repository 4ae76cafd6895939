"""The official SDK, unchanged, through a user's day against a running service: every station, a real broker, a
real database, HTTP on a port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson
from pydantic import SecretStr

from streams.app import STATIONS
from streams.http_app import build_http
from streams.runtime.agent import Context
from streams.runtime.together import together
from tests.api.conftest import KEY, served_app
from tests.api.sdk import day, high_level
from tests.api.sdk.client import Sdk
from tests.api.sdk.endpoints import application, sdk_methods, served
from tests.notify.support import Receiver, receiving
from tests.support import eventually


@asynccontextmanager
async def running(context: Context) -> AsyncIterator[str]:
    """The whole system; gives the address of its API."""
    update = {"api_key": SecretStr(KEY), "allow_private_webhooks": True, "rate_limit_per_second": None}
    known = {name: value for name, value in update.items() if name in type(context.settings).model_fields}
    here = replace(context, settings=context.settings.model_copy(update=known))
    agents = [station.build(here) for station in STATIONS]
    working = asyncio.create_task(together(**{agent.name: agent.run() for agent in agents}))
    try:
        async with served_app(build_http(here)) as url:
            yield url
    finally:
        for agent in agents:
            agent.stop()
        await working


def told(receiver: Receiver) -> set[str]:
    return {orjson.loads(item.body)["event_type"] for item in receiver.requests}


async def test_a_users_day(context: Context) -> None:
    async with running(context) as url, receiving() as receiver:
        sdk = Sdk(url, KEY, "desk")
        await asyncio.to_thread(day.morning, sdk, receiver.url)
        for part in (day.definitions, day.documents, day.results, day.runs, day.own_vectors):
            await asyncio.to_thread(part, sdk)
        wanted = {
            "alert.created",
            "alert.triggered",
            "trigger.execution.completed",
            "collection.created",
            "document.created",
        }

        async def all_told() -> bool:
            return told(receiver) == wanted

        await eventually(all_told, what="the events")
        await asyncio.to_thread(day.evening, sdk)
        await asyncio.to_thread(high_level.day, url, KEY)
    working = set(sdk_methods()) & set(served(application()))
    assert [str(item) for item in sorted(working - sdk.answered)] == []
