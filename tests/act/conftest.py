"""A context over a real PostgreSQL for the act station: it opens no broker client of its own."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

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
