"""The laptop stack: which stations its workers run."""

from collections.abc import Sequence

import pytest

from streams.app import choose
from streams.cli.stack import ONE_WORKER, TWO_WORKERS


@pytest.mark.parametrize("workers", [ONE_WORKER, TWO_WORKERS])
def test_the_workers_run_every_station_of_a_worker_once(workers: Sequence[str]) -> None:
    stations = [name for worker in workers for name in worker.split(",")]
    assert sorted(stations) == sorted(station.name for station in choose())
