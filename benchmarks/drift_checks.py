"""What one check of a drift trigger takes, the database included, after so many documents.

The trigger station's own code makes it, from ``check_due`` to its return: take a connection of the pool, lock the
trigger, read what it remembers and the rows of sketches, merge, measure, write the check, commit with fsync. The
database is the embedded one, as it is set up for a laptop. A trigger for each metric checks every hour on
processing time; vectors of 384 dimensions came over ten days, through one partition or twelve, and their sketches
were written by collect's own code. Hour after hour is checked, over a window that slides over seven days or grows
since the baseline, after all numbers of documents in turn, so that a slow minute of the machine is one for all.

The triggers that are due are listed before, as at every tick. *Warm* are checks of a worker that has made the one
before. The first ones of each trigger are not counted: they take the baseline and read a window that nobody has
read before. *Cold* is the first check of a worker after its start, on a connection that was opened for it: the
station has made itself ready (``make_ready``) and listed the triggers that are due, and holds nothing of any
trigger. Each trigger has a memory of its own, as if it were the worker's only one. The process is warm in both:
its modules are loaded.
"""

import math
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import numpy as np

from schemas.events.definition import DefinitionRecord
from schemas.headers import DefinitionsVersion
from streams.collect.sketches import merge_cells, reconcile
from streams.collect.sketching import Cells, Place, Places, add, vector_cells
from streams.collect.watching import watch
from streams.engines.drift.metrics import METRICS
from streams.runtime.database import Database, migrate
from streams.runtime.definitions import put_definition
from streams.runtime.dev.database import embedded_database
from streams.settings import Settings
from streams.trigger.conditions.due import check_due, make_ready
from streams.trigger.conditions.store import conditional_triggers
from streams.trigger.conditions.unpacked import Unpacked

NS, COLLECTION = "ns_bench", "col_bench"
URI, DIMENSIONS = "mixpeek://model@v1/embedding", 384
HOUR: Final = timedelta(hours=1)
START: Final = datetime(2024, 6, 3, tzinfo=UTC)
HOURS: Final = 10 * 24
BEFORE: Final = 3
"""Checks that are not counted."""
COLD: Final = 10
"""Most cold checks of each trigger."""
PARTITIONS: Final = (1, 12)
AT_ONCE: Final = 20_000
WINDOWS: Final[dict[str, dict[str, Any]]] = {
    "sliding over 7 days": {"window_seconds": 7 * 86_400},
    "since the baseline": {},
}

Taken = dict[str, list[float]]
"""Milliseconds by what was measured."""


async def checks(sizes: Iterable[int], rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Milliseconds of a check by window and partitions, then by documents; over all metrics, and the median of
    each."""
    times: dict[str, dict[str, dict[str, float]]] = {}
    cells = {size: sketched(size) for size in sizes}
    for partitions in PARTITIONS:
        async with AsyncExitStack() as stack:
            stores = {
                size: await stack.enter_async_context(stored(held, partitions)) for size, held in cells.items()
            }
            for name, window in WINDOWS.items():
                taken = await checked(stores, window, rounds)
                times[f"{name}, {partitions} partitions"] = {f"{size:,}": told(taken[size]) for size in stores}
    return times


def told(taken: Taken) -> dict[str, float]:
    """Medians and 99th percentiles."""
    figures = {}
    for name in ("warm", "cold"):
        figures[name] = round(statistics.median(taken[name]), 2)
        figures[f"{name}_p99"] = round(sorted(taken[name])[math.ceil(0.99 * len(taken[name])) - 1], 2)
    figures["processor"] = round(statistics.median(taken["processor"]), 2)
    return figures | {metric: round(statistics.median(taken[metric]), 2) for metric in METRICS}


class Store(NamedTuple):
    """A database with the sketches of documents."""

    settings: Settings
    database: Database


def sketched(documents: int) -> Cells:
    """What collect keeps of so many documents, among the most partitions."""
    specs = watch([definition("any", {})]).specs[NS, COLLECTION]
    cells: Cells = {}
    chance = np.random.default_rng(documents)
    for first in range(0, documents, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, documents))
        moments = [START + HOURS * HOUR * (number / documents) for number in numbers]
        places = Places(
            Place(number % max(PARTITIONS), moment, moment)
            for number, moment in zip(numbers, moments, strict=True)
        )
        vectors = chance.normal(0.3, size=(len(numbers), DIMENSIONS)).astype(np.float32)
        for cell, filled in vector_cells(specs, places, vectors).items():
            add(cells, cell, filled)
    return cells


@asynccontextmanager
async def stored(cells: Cells, partitions: int) -> AsyncIterator[Store]:
    """A database of its own with these sketches among so many partitions."""
    specs = watch([definition("any", {})]).specs[NS, COLLECTION]
    fewer: Cells = {}
    for cell, filled in cells.items():
        add(fewer, cell._replace(partition=cell.partition % partitions), filled)
    with TemporaryDirectory() as folder:
        async with embedded_database(Path(folder)) as dsn:
            await migrate(dsn)
            settings = Settings(database=dsn)
            async with Database(settings) as database:
                async with database.transaction() as connection:
                    await reconcile(connection, specs, dict.fromkeys(range(partitions), 0))
                    await merge_cells(connection, fewer)
                    await connection.cursor().executemany(
                        "INSERT INTO collection_counters (namespace_id, collection_id, partition)"
                        " VALUES (%s, %s, %s)",
                        [(NS, COLLECTION, partition) for partition in range(partitions)],
                    )
                async with database.connection() as connection:
                    await connection.execute("VACUUM ANALYZE")
                yield Store(settings, database)


def definition(trigger_id: str, window: dict[str, Any], metric: str = "cosine_drift") -> DefinitionRecord:
    """A trigger that never fires and takes its first half day as the baseline."""
    body = {
        "trigger_type": "conditional",
        "schedule_config": {
            "condition_type": "drift",
            "metric": metric,
            "threshold": 1e9,
            "feature_uri": URI,
            "check_interval_seconds": 3_600,
            "baseline": {"from": START.isoformat(), "until": (START + 12 * HOUR).isoformat()},
            **window,
        },
        "watched_collection_ids": [COLLECTION],
        "action_type": "cluster",
        "action_config": {"cluster_id": "clust_1"},
    }
    return DefinitionRecord("trigger", NS, trigger_id, 1, DefinitionsVersion("epoch", 1), body=body)


async def checked(stores: Mapping[int, Store], window: dict[str, Any], rounds: int) -> dict[int, Taken]:
    """What checks of hours that follow each other take, the last of them of the last hour with documents."""
    cold = min(COLD, rounds)
    first = START + (HOURS - BEFORE - rounds - cold) * HOUR
    taken: dict[int, Taken] = {size: defaultdict(list) for size in stores}
    warm = {(size, metric): Unpacked() for size in stores for metric in METRICS}
    for store in stores.values():
        await create(store.database, window, first)
    hours = (first + number * HOUR for number in range(BEFORE + rounds + cold))
    for number, now in enumerate(hours):
        for metric in METRICS:
            for size, store in stores.items():
                if number < BEFORE + rounds:
                    wall, processor = await timed(store.database, metric, now, warm[size, metric])
                    if number >= BEFORE:
                        taken[size]["warm"].append(wall)
                        taken[size]["processor"].append(processor)
                        taken[size][metric].append(wall)
                else:
                    async with Database(store.settings) as fresh:
                        await make_ready(fresh)
                        wall, _ = await timed(fresh, metric, now, Unpacked())
                        taken[size]["cold"].append(wall)
    for store in stores.values():
        await proven(store.database, BEFORE + rounds + cold - 1)
    return taken


async def create(database: Database, window: dict[str, Any], first: datetime) -> None:
    """A trigger for each metric, in place of those before."""
    async with database.transaction() as connection:
        await connection.execute("TRUNCATE trigger_state, trigger_checks CASCADE")
        for metric in METRICS:
            body = definition(metric, window, metric).body
            await put_definition(connection, "trigger", NS, metric, None, body)
            await connection.execute(
                "INSERT INTO trigger_state (trigger_id, namespace_id, family, trigger_type, next_scheduled_at)"
                " VALUES (%s, %s, 'trigger', 'conditional', %s)",
                (metric, NS, first),
            )


async def timed(database: Database, trigger_id: str, now: datetime, unpacked: Unpacked) -> tuple[float, float]:
    """Milliseconds of one check, and of this process's processor in it."""
    async with database.connection() as connection:
        due = await conditional_triggers(connection, now)
    listed = next(found for found in due if found.trigger.trigger_id == trigger_id)
    began, used = time.perf_counter(), time.process_time()
    await check_due(database, trigger_id, now, now, unpacked, listed)
    return 1e3 * (time.perf_counter() - began), 1e3 * (time.process_time() - used)


async def proven(database: Database, measured: int) -> None:
    """Every check but the first measured."""
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT trigger_id, count(*) FILTER (WHERE (measurement ->> 'value') IS NOT NULL) FROM trigger_checks"
            " GROUP BY trigger_id"
        )
        found = dict(await cursor.fetchall())
    assert found == dict.fromkeys(METRICS, measured), found
