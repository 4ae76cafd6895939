"""What stands before every route, on a real application and a real database."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import SecretStr
from starlette.responses import StreamingResponse

from streams.api.namespaces import ensure_namespace
from streams.http_app import build_http
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.database import Database
from streams.runtime.http.access import AccessDep, ContextDep
from streams.settings import Settings
from tests.api.make import refused
from tests.support import eventually

KEY = {"Authorization": "Bearer sk_guarded"}


@pytest.fixture
async def here(settings: Settings) -> AsyncIterator[Context]:
    known = settings.model_copy(update={"api_key": SecretStr("sk_guarded")})
    async with Database(known, statement_seconds=5.0) as database:
        await ensure_namespace(database, known.namespace)
        yield Context(known, Broker(known), database)


def application(here: Context, **changed: object) -> FastAPI:
    return build_http(Context(here.settings.model_copy(update=changed), here.broker, here.database))


def client(app: FastAPI, url: str = "http://test") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=url, headers=KEY)


async def test_a_key_that_asks_too_often_is_told_when_to_come_again(here: Context) -> None:
    async with client(application(here, rate_limit=0.01, rate_burst=2)) as api:
        first = await api.get("/v1/alerts")
        assert (first.status_code, first.headers["RateLimit"]) == (200, '"key";r=1;t=100')
        assert first.headers["RateLimit-Policy"] == '"key";q=2;w=200'
        assert (await api.get("/v1/alerts")).status_code == 200
        answer = await api.get("/v1/alerts")
        error = refused(answer, 429, "TooManyRequestsError")
        # Seconds pass on a machine that is busy.
        wait = error["details"]["retry_after_seconds"]
        assert error["details"] == {"api_name": "GET /v1/alerts", "retryable": True, "retry_after_seconds": wait}
        assert 90 <= wait <= 100
        assert answer.headers["Retry-After"] == str(wait)
        assert answer.headers["X-Request-ID"]
        # Machines that look whether the server is well are not counted.
        for _ in range(4):
            assert (await api.get("/v1/health")).status_code == 200
            assert (await api.get("/metrics")).status_code == 200


async def test_requests_at_the_same_time_are_limited_and_their_places_come_back(here: Context) -> None:
    app = application(here, key_requests=2)
    going = asyncio.Event()
    begun: list[str] = []

    async def slow(access: AccessDep) -> dict[str, str]:
        begun.append(access.namespace_id)
        await going.wait()
        return {"namespace": access.namespace_id}

    app.add_api_route("/v1/slow", slow)
    async with client(app) as api:
        running = [asyncio.create_task(api.get("/v1/slow")) for _ in range(2)]

        async def both() -> bool:
            return len(begun) == 2

        await eventually(both)
        error = refused(await api.get("/v1/alerts"), 429, "TooManyRequestsError")
        assert error["details"]["retry_after_seconds"] == 1
        going.set()
        assert [(await task).status_code for task in running] == [200, 200]
        assert (await api.get("/v1/alerts")).status_code == 200


async def test_a_request_that_takes_too_long_is_given_up_and_its_connection_goes_on(here: Context) -> None:
    app = application(here, request_seconds=0.3)

    async def slow(access: AccessDep, context: ContextDep) -> None:
        async with context.database.transaction() as connection:
            await connection.execute("SELECT pg_sleep(30), 'the slow one'")

    app.add_api_route("/v1/slow", slow)
    async with client(app) as api:
        for _ in range(3):
            answer = await api.get("/v1/slow")
            error = refused(answer, 504, "TimeoutError")
            assert "0.3 seconds" in error["message"]
            assert error["details"]["retryable"] is False
        assert (await api.get("/v1/alerts")).status_code == 200

    async def gone() -> bool:
        async with here.database.connection() as connection:
            row = await (
                await connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%the slow one%'"
                    " AND pid <> pg_backend_pid() AND datname = current_database()"
                )
            ).fetchone()
        return row == (0,)

    await eventually(gone)


async def test_a_statement_that_takes_too_long_is_a_504_too(here: Context) -> None:
    app = application(here)

    async def slow(access: AccessDep, context: ContextDep) -> None:
        async with context.database.transaction() as connection:
            await connection.execute("SET LOCAL statement_timeout = 50")
            await connection.execute("SELECT pg_sleep(30)")

    app.add_api_route("/v1/slow", slow)
    async with client(app) as api:
        refused(await api.get("/v1/slow"), 504, "TimeoutError")
        assert (await api.get("/v1/alerts")).status_code == 200
    async with here.database.connection() as connection:
        assert await (await connection.execute("SHOW statement_timeout")).fetchone() == ("5s",)


async def test_a_body_that_trickles_in_is_a_408(here: Context) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        yield b'{"namespace'
        await asyncio.sleep(30)

    async with client(application(here, request_seconds=0.2)) as api:
        headers = {"Content-Type": "application/json"}
        answer = await api.post("/v1/namespaces", content=trickle(), headers=headers)
        refused(answer, 408, "TimeoutError")


async def test_a_stream_that_has_begun_may_last(here: Context) -> None:
    app = application(here, request_seconds=1.0, key_streams=1)

    async def ticks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"data: {}\n\n"
            await asyncio.sleep(0.3)

    async def stream(access: AccessDep) -> StreamingResponse:
        return StreamingResponse(ticks(), media_type="text/event-stream")

    app.add_api_route("/v1/stream", stream)
    async with client(app) as api:
        answer = await api.get("/v1/stream", headers={"Accept": "text/event-stream"})
        assert answer.text.count("data:") == 4
        # Its place is free again.
        assert (await api.get("/v1/stream", headers={"Accept": "text/event-stream"})).status_code == 200


async def test_a_crash_is_an_envelope_without_its_cause(here: Context, capsys: pytest.CaptureFixture[str]) -> None:
    app = application(here)

    async def crash(request: Request) -> None:
        raise RuntimeError("the secret is 42")

    app.add_api_route("/v1/crash", crash)
    async with client(app) as api:
        answer = await api.get("/v1/crash")
    error = refused(answer, 500, "InternalServerError")
    assert "42" not in str(error)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_answers_tell_browsers_to_run_and_keep_nothing(here: Context) -> None:
    app = application(here)
    async with client(app) as api, client(app, "https://test") as encrypted:
        for answer in (await api.get("/v1/alerts"), await api.get("/v1/nothing", headers={"Authorization": ""})):
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "Strict-Transport-Security" not in answer.headers
        assert "Strict-Transport-Security" in (await encrypted.get("/v1/alerts")).headers


async def test_pages_of_other_origins_are_served_only_where_they_are_named(here: Context) -> None:
    asked = {"Origin": "https://desk.example", "Access-Control-Request-Method": "GET"}
    preflight = {**asked, "Access-Control-Request-Headers": "authorization,x-namespace"}
    async with client(application(here)) as api:
        answer = await api.get("/v1/alerts", headers=asked)
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert (await api.options("/v1/alerts", headers=preflight)).status_code in (401, 405)
    async with client(application(here, cors_origins="https://desk.example, https://two.example")) as api:
        answer = await api.get("/v1/alerts", headers=asked)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://desk.example"
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert (await api.options("/v1/alerts", headers=preflight)).status_code == 200
        evil = await api.get("/v1/alerts", headers={**asked, "Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in evil.headers


async def test_metrics_are_for_keys_of_the_whole_server(here: Context) -> None:
    from tests.api.test_namespaces import add_key

    await add_key(here, "sk_reader", None, ["read", "write"])
    await add_key(here, "sk_one", ["ns_1"], ["read", "write", "admin"])
    async with client(application(here)) as api:
        assert "tidewatch_" in (await api.get("/metrics")).text
        for key in ("sk_reader", "sk_one"):
            answer = await api.get("/metrics", headers={"Authorization": f"Bearer {key}"})
            refused(answer, 403, "ForbiddenError")
