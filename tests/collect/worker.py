"""The station alone in a process of its own, for tests that kill it: settings come from the environment."""

import asyncio

from streams.collect.station import Collect
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.database import Database
from streams.settings import Settings


async def main() -> None:
    """Collect until killed."""
    settings = Settings()
    async with Database(settings) as database:
        await Collect(Context(settings, Broker(settings), database)).run()


if __name__ == "__main__":
    asyncio.run(main())
