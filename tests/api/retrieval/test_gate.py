"""Executions wait for a place; whoever does not wait so long has none begun."""

import asyncio

import httpx
import pytest
from fastapi import APIRouter

from streams.api.retrieval.gate import Gate, GateDep, Places
from streams.runtime.agent import Context
from streams.runtime.http.json_route import JsonRoute
from tests.runtime.http.test_guard import here
from tests.runtime.http.test_proxy import serving
from tests.support import eventually

__all__ = ["here"]


class Work:
    """Executions that end when they are let, and how many began and ended."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.let = asyncio.Event()

    async def one(self) -> int:
        self.begun += 1
        await self.let.wait()
        self.ended += 1
        return self.ended

    async def has_begun(self, count: int) -> bool:
        return self.begun >= count


async def stays() -> bool:
    return False


async def test_who_goes_before_there_is_a_place_has_nothing_begun_and_who_goes_later_everything_ended() -> None:
    gate, work = Gate(Places(2), stays), Work()
    asked = [asyncio.create_task(gate.run(work.one())) for _ in range(5)]
    await eventually(lambda: work.has_begun(2))
    for task in asked[:4]:
        task.cancel()
    await asyncio.gather(*asked[:4], return_exceptions=True)
    assert (work.begun, work.ended) == (2, 0)
    work.let.set()
    assert await asked[4] == 3
    assert (work.begun, work.ended) == (3, 3)


async def test_one_that_fails_gives_its_place_back() -> None:
    gate = Gate(Places(1), stays)

    async def broken() -> None:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await gate.run(broken())


async def test_of_clients_that_hang_up_while_they_wait_nothing_is_run(here: Context) -> None:
    work, router = Work(), APIRouter(route_class=JsonRoute)

    @router.post("/v1/queued")
    async def queued(gate: GateDep, body: dict[str, int]) -> int:
        return await gate.run(work.one()) + body["more"]

    async with serving(here, router, database_pool_size=2) as client:
        holding = asyncio.create_task(client.post("/v1/queued", json={"more": 10}))
        await eventually(lambda: work.has_begun(1))
        for _ in range(5):
            with pytest.raises(httpx.ReadTimeout):
                await client.post("/v1/queued", json={"more": 10}, timeout=0.3)
        waiting = asyncio.create_task(client.post("/v1/queued", json={"more": 20}))
        await asyncio.sleep(0.3)
        work.let.set()
        assert (await holding).json() == 11
        assert (await waiting).json() == 22
    assert work.begun == 2
