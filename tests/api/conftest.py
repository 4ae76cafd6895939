"""The definitions API as a real application on a real database, and a caller with the configured key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from streams.api.namespaces import ensure_namespace
from streams.api.routes import routers
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.database import Database
from streams.runtime.http.body_limit import BodyLimit
from streams.runtime.http.errors import install_error_handlers
from streams.settings import Settings
from tests.api.answers import check

KEY = "sk_test"
NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)


@pytest.fixture
async def here(settings: Settings) -> AsyncIterator[Context]:
    """A context whose time stands still. The definitions API never talks to the broker itself."""
    known = settings.model_copy(update={"api_key": SecretStr(KEY)})
    async with Database(known) as database:
        yield Context(known, Broker(known), database, clock=lambda: NOW)


def application(context: Context) -> FastAPI:
    """The routes alone, with the error envelope and the limit of bodies."""
    app = FastAPI()
    app.add_middleware(BodyLimit)
    app.state.context = context
    install_error_handlers(app)
    for router in routers():
        app.include_router(router)
    return app


def caller(context: Context, key: str | None = None, **headers: str) -> httpx.AsyncClient:
    """A client of the application."""
    assert context.settings.api_key is not None
    secret = context.settings.api_key.get_secret_value() if key is None else key
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(application(context)),
        base_url="http://api",
        headers={"Authorization": f"Bearer {secret}", **headers},
        event_hooks={"response": [check]},
    )


@pytest.fixture
async def api(here: Context) -> AsyncIterator[httpx.AsyncClient]:
    """A caller in the default namespace."""
    await ensure_namespace(here.database, here.settings.namespace)
    async with caller(here) as client:
        yield client


@asynccontextmanager
async def served(context: Context) -> AsyncIterator[str]:
    """The application on a port of its own; gives its address."""
    async with served_app(application(context)) as url:
        yield url


@asynccontextmanager
async def served_app(app: FastAPI) -> AsyncIterator[str]:
    """An application on a port of its own; gives its address."""
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
def without_key(here: Context) -> Context:
    """A context whose server cannot encrypt."""
    return replace(here, settings=here.settings.model_copy(update={"secret_key": None}))
