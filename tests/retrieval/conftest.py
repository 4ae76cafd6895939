"""A database to store documents in; nothing here talks to the broker."""

from collections.abc import AsyncIterator

import pytest

from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.database import Database
from streams.settings import Settings


@pytest.fixture
async def context(settings: Settings) -> AsyncIterator[Context]:
    """An open database."""
    async with Database(settings) as database:
        yield Context(settings, Broker(settings), database)
