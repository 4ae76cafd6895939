"""Stations that are closed again whatever the test says."""

from collections.abc import AsyncIterator

import pytest

from streams.runtime.agent import Context
from streams.trigger.station import TriggerStation, build


@pytest.fixture
async def stations(context: Context) -> AsyncIterator[list[TriggerStation]]:
    """Three trigger stations of one system."""
    made = [build(context) for _ in range(3)]
    yield made
    for station in made:
        await station.close()


@pytest.fixture
def station(stations: list[TriggerStation]) -> TriggerStation:
    """One of them."""
    return stations[0]
