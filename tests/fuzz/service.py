"""The whole query service on a port, with the stations that its answers come from."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from pydantic import SecretStr

from streams.api.namespaces import ensure_namespace
from streams.http_app import build_http
from streams.runtime.agent import Context
from streams.runtime.together import together
from tests.api.conftest import served_app
from tests.flow.system import EVERYTHING

KEY = "sk_fuzz"


@asynccontextmanager
async def service(context: Context) -> AsyncIterator[str]:
    """Stations at work, and the address of the HTTP application beside them."""
    settings = context.settings.model_copy(update={"api_key": SecretStr(KEY), "rate_limit": 0.0})
    context = replace(context, settings=settings)
    await ensure_namespace(context.database, settings.namespace)
    agents = [build(context) for build in EVERYTHING]
    running = asyncio.create_task(together(**{agent.name: agent.run() for agent in agents}))
    try:
        async with served_app(build_http(context)) as url:
            yield url
    finally:
        for agent in agents:
            agent.stop()
        await running
