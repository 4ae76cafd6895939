"""What ends an execution ends its work in the database, too: its time, and a reader who goes away."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from streams.http_app import build_http
from streams.runtime.agent import Context
from streams.runtime.database import fetch_value
from tests.api.conftest import KEY, served_app
from tests.api.make import filter_stage, made
from tests.api.retrieval.test_execute import people
from tests.support import eventually


@asynccontextmanager
async def documents_locked(here: Context) -> AsyncIterator[None]:
    """Nobody reads documents meanwhile: a statement that takes as long as it likes."""
    async with here.database.transaction() as connection:
        await connection.execute("LOCK TABLE documents IN ACCESS EXCLUSIVE MODE")
        yield


async def waiting(here: Context) -> int:
    """Statements that wait for a lock."""
    async with here.database.connection() as connection:
        found = await fetch_value(
            connection,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND query LIKE '%documents%'",
        )
    return int(found)


async def retriever(here: Context, http: httpx.AsyncClient, **more: object) -> None:
    await people(here, http)
    stages = [filter_stage({"field": "n", "operator": "gte", "value": 5})]
    await made(http, "/v1/retrievers", {"retriever_name": "slow", "stages": stages, **more})


async def test_time_that_is_used_up_ends_the_statement(here: Context, http: httpx.AsyncClient) -> None:
    await retriever(here, http, budget_limits={"max_time_ms": 400})
    async with documents_locked(here):
        started = time.monotonic()
        answer = await http.post("/v1/retrievers/slow/execute", json={})
        assert time.monotonic() - started < 10
        assert await waiting(here) == 0
    found = answer.json()
    assert (answer.status_code, found["status"]) == (200, "failed")
    assert "of 400 ms allowed" in found["error"]
    detail = (await http.get(f"/v1/retrievers/slow/executions/{found['execution_id']}")).json()
    assert detail["error"] == found["error"]
    assert (await http.post("/v1/retrievers/slow/execute", json={})).json()["status"] == "completed"


async def test_a_reader_of_events_who_goes_away_ends_the_execution(here: Context, http: httpx.AsyncClient) -> None:
    await retriever(here, http)
    async with documents_locked(here), served_app(build_http(here)) as url:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
            path = "/v1/retrievers/slow/execute"
            async with client.stream("POST", path, json={"stream": True}) as answer:
                # Kept: a generator that is thrown away closes the connection.
                lines = answer.aiter_lines()
                assert '"stage_start"' in await anext(lines)
                await eventually(lambda: _is(here, 1))
            await eventually(lambda: _is(here, 0))


async def _is(here: Context, count: int) -> bool:
    return await waiting(here) == count
