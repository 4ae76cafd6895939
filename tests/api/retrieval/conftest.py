"""The whole HTTP application over a real database, with documents in its tables."""

from collections.abc import AsyncIterator

import httpx
import pytest

from streams.api.namespaces import ensure_namespace
from streams.http_app import build_http
from streams.runtime.agent import Context
from tests.api.conftest import KEY


@pytest.fixture
async def http(here: Context) -> AsyncIterator[httpx.AsyncClient]:
    """A caller in the default namespace, of definitions, executions and reads alike."""
    await ensure_namespace(here.database, here.settings.namespace)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(build_http(here)),
        base_url="http://api",
        headers={"Authorization": f"Bearer {KEY}"},
        timeout=60,
    ) as client:
        yield client
