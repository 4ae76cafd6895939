"""Executions wait for a place; whoever does not wait so long has none begun."""

import asyncio

import pytest

from streams.api.retrieval.gate import Gate
from tests.support import eventually


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


async def test_who_goes_before_there_is_a_place_has_nothing_begun_and_who_goes_later_everything_ended() -> None:
    gate, work = Gate(2), Work()
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
    gate = Gate(1)

    async def broken() -> None:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await gate.run(broken())
