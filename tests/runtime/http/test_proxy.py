"""Behind a reverse proxy: whose headers count, on a real server with connections of its own."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter

from streams.http_app import HttpServer, build_http
from streams.runtime.agent import Context
from streams.runtime.http.access import AccessDep, ContextDep
from streams.runtime.http.cookies import PLAIN, SECURE
from tests.api.make import refused
from tests.runtime.http.test_guard import KEY, here
from tests.support import eventually

__all__ = ["here"]


@asynccontextmanager
async def serving(
    here: Context, router: APIRouter | None = None, **changed: object
) -> AsyncIterator[httpx.AsyncClient]:
    """The service on a port of its own, with a slow endpoint and those of ``router``."""
    context = Context(here.settings.model_copy(update=changed), here.broker, here.database)
    app = build_http(context)

    async def slow(access: AccessDep, context: ContextDep) -> None:
        async with context.database.connection() as connection:
            await connection.execute("SELECT pg_sleep(30)")

    app.add_api_route("/v1/slow", slow)
    if router is not None:
        app.include_router(router)
    server = HttpServer(context, app)
    running = asyncio.create_task(server.run())

    async def listening() -> bool:
        return server.port is not None

    try:
        await eventually(listening)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{server.port}", headers=KEY, timeout=30
        ) as client:
            yield client
    finally:
        server.stop()
        await running


@pytest.mark.parametrize(
    ("trusted", "cookie"),
    [("", PLAIN), ("127.0.0.1", SECURE), ("10.0.0.0/8, 127.0.0.0/8", SECURE), ("10.1.2.3", PLAIN)],
)
async def test_only_a_trusted_proxy_says_that_the_way_is_encrypted(
    here: Context, trusted: str, cookie: str
) -> None:
    async with serving(here, trusted_proxies=trusted) as client:
        answer = await client.post(
            "/v1/session", headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "8.8.8.8"}
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["Set-Cookie"].startswith(f"{cookie}=")
        assert ("Strict-Transport-Security" in answer.headers) == (cookie == SECURE)
        assert "server" not in answer.headers


async def test_requests_have_connections_that_give_up_slow_statements(here: Context) -> None:
    async with serving(here, request_seconds=0.5) as client:
        error = refused(await client.get("/v1/slow"), 504, "TimeoutError")
        assert error["details"] == {"retryable": False}
        assert (await client.get("/v1/alerts")).status_code == 200


async def test_the_body_of_an_answer_does_not_wait_until_its_head_is_acknowledged(here: Context) -> None:
    async with serving(here) as client:
        taken: list[float] = []
        for _ in range(40):
            begun = time.perf_counter()
            assert (await client.get("/v1/health")).status_code == 200
            taken.append(time.perf_counter() - begun)
    # At first the kernel acknowledges at once; later after 40 ms, where nothing is sent back meanwhile. Then every
    # answer would wait, whatever else the machine does.
    assert sorted(taken[20:])[3] < 0.03
