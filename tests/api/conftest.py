"""The definitions API as a real application on a real database, and a caller with the configured key."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from streams.api.namespaces import ensure_namespace
from streams.api.routes import routers
from streams.runtime.agent import Context
from streams.runtime.database import Database
from streams.runtime.http.errors import install_error_handlers
from streams.settings import Settings

KEY = "sk_test"
NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)


@pytest.fixture
async def here(settings: Settings) -> AsyncIterator[Context]:
    """A context whose time stands still. The definitions API never talks to the broker itself."""
    from streams.runtime.broker import Broker

    known = settings.model_copy(update={"api_key": settings.api_key or _secret(KEY)})
    async with Database(known) as database:
        yield Context(known, Broker(known), database, clock=lambda: NOW)


def _secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)


def application(context: Context) -> FastAPI:
    """The routes alone, with the error envelope."""
    app = FastAPI()
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
    )


@pytest.fixture
async def api(here: Context) -> AsyncIterator[httpx.AsyncClient]:
    """A caller in the default namespace."""
    await ensure_namespace(here.database, here.settings.namespace)
    async with caller(here) as client:
        yield client


Make = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def without_key(here: Context) -> Context:
    """A context whose server cannot encrypt."""
    return replace(here, settings=here.settings.model_copy(update={"secret_key": None}))
