"""A context over a real PostgreSQL for the act station: it opens no broker client of its own."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import SecretStr

from streams.act import actions
from streams.act.actions.action import Finish, finished
from streams.act.outcome import Outcome
from streams.act.work import Work
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.database import Database
from streams.settings import Settings
from tests.act.support import FakeClock
from tests.conftest import SECRET_KEY


@pytest.fixture
def clock() -> FakeClock:
    """Time stands still unless the test moves it."""
    return FakeClock()


@pytest.fixture
async def context(database_url: str, clock: FakeClock) -> AsyncIterator[Context]:
    """Settings, an open database and the fake clock."""
    settings = Settings(database=database_url, secret_key=SecretStr(SECRET_KEY), job_time_limit_seconds=60)
    async with Database(settings) as database:
        yield Context(settings, Broker(settings), database, clock)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], Any], object], None]:
    """Put an action called ``test`` into the registry: it reads nothing, runs a function and writes nothing."""

    def add(function: Callable[[Any], Any], payload: object) -> None:
        async def run(work: Work) -> Finish:
            await work.compute(function, payload)
            return finished(Outcome(facts={"applied": True}))

        monkeypatch.setattr(actions, "ACTIONS", {**actions.ACTIONS, "test": run})

    return add
