"""What one check of a drift trigger takes, the database included, after so many documents.

The trigger station's own code makes it: lock the trigger, read rows of sketches, merge, measure, write the check,
commit with fsync. A trigger checks every hour on processing time; vectors of 384 dimensions came over eight days,
through one partition or twelve, and their sketches were written by collect's own code. Hour after hour is checked,
over a window that slides over seven days or grows since the baseline. The first checks are not counted: they
connect, and unpack what a running station has read before.
"""

import statistics
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from schemas.events.definition import DefinitionRecord
from schemas.headers import DefinitionsVersion
from streams.collect.sketches import merge_cells, reconcile
from streams.collect.sketching import Cells, Place, Places, add, vector_cells
from streams.collect.watching import watch
from streams.runtime.database import Database, migrate
from streams.runtime.definitions import put_definition
from streams.runtime.dev.database import embedded_database
from streams.settings import Settings
from streams.trigger.conditions.due import check_due
from streams.trigger.conditions.unpacked import Unpacked

NS, COLLECTION = "ns_bench", "col_bench"
URI, DIMENSIONS = "mixpeek://model@v1/embedding", 384
HOUR: Final = timedelta(hours=1)
START: Final = datetime(2024, 6, 3, tzinfo=UTC)
HOURS: Final = 8 * 24
BEFORE: Final = 3
"""Checks that are not counted."""
AT_ONCE: Final = 20_000
WINDOWS: Final[dict[str, dict[str, Any]]] = {
    "sliding over 7 days": {"window_seconds": 7 * 86_400},
    "since the baseline": {},
}


async def checks(sizes: Iterable[int], rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Milliseconds of a check and of the client's processor in it, by window and partitions, then by documents."""
    times: dict[str, dict[str, dict[str, float]]] = {}
    for partitions in (1, 12):
        for documents in sizes:
            async with stored(documents, partitions) as database:
                for name, window in WINDOWS.items():
                    taken = await checked(database, f"trig_{name.split()[0]}", window, rounds)
                    times.setdefault(f"{name}, {partitions} partitions", {})[f"{documents:,}"] = taken
    return times


@asynccontextmanager
async def stored(documents: int, partitions: int) -> AsyncIterator[Database]:
    """A database with the sketches of documents."""
    with TemporaryDirectory() as folder:
        async with embedded_database(Path(folder)) as dsn:
            await migrate(dsn)
            async with Database(Settings(database=dsn)) as database:
                body = definition("trig", {}).body
                specs = watch([definition("trig", body["schedule_config"])]).specs[NS, COLLECTION]
                cells: Cells = {}
                chance = np.random.default_rng(documents)
                for first in range(0, documents, AT_ONCE):
                    numbers = range(first, min(first + AT_ONCE, documents))
                    moments = [START + HOURS * HOUR * (number / documents) for number in numbers]
                    places = Places(
                        Place(number % partitions, moment, moment)
                        for number, moment in zip(numbers, moments, strict=True)
                    )
                    vectors = chance.normal(0.3, size=(len(numbers), DIMENSIONS)).astype(np.float32)
                    for cell, filled in vector_cells(specs, places, vectors).items():
                        add(cells, cell, filled)
                async with database.transaction() as connection:
                    await reconcile(connection, specs, dict.fromkeys(range(partitions), 0))
                    await merge_cells(connection, cells)
                    await connection.cursor().executemany(
                        "INSERT INTO collection_counters (namespace_id, collection_id, partition)"
                        " VALUES (%s, %s, %s)",
                        [(NS, COLLECTION, partition) for partition in range(partitions)],
                    )
                async with database.connection() as connection:
                    await connection.execute("VACUUM ANALYZE")
                yield database


def definition(trigger_id: str, window: dict[str, Any]) -> DefinitionRecord:
    """A trigger that never fires and takes its first half day as the baseline."""
    body = {
        "trigger_type": "conditional",
        "schedule_config": {
            "condition_type": "drift",
            "threshold": 1.9,
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


async def checked(database: Database, trigger_id: str, window: dict[str, Any], rounds: int) -> dict[str, float]:
    """Medians over checks of hours that follow each other, the last of them of the last hour with documents."""
    first = START + (HOURS - rounds - BEFORE) * HOUR
    async with database.transaction() as connection:
        await put_definition(connection, "trigger", NS, trigger_id, None, definition(trigger_id, window).body)
        await connection.execute(
            "INSERT INTO trigger_state (trigger_id, namespace_id, family, trigger_type, next_scheduled_at)"
            " VALUES (%s, %s, 'trigger', 'conditional', %s)",
            (trigger_id, NS, first),
        )
    unpacked, wall, processor = Unpacked(), [], []
    for number in range(rounds + BEFORE):
        now = first + number * HOUR
        began, used = time.perf_counter(), time.process_time()
        await check_due(database, trigger_id, now, now, unpacked)
        wall.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FILTER (WHERE (measurement ->> 'value') IS NOT NULL) FROM trigger_checks"
            " WHERE trigger_id = %s",
            (trigger_id,),
        )
        assert await cursor.fetchone() == (rounds + BEFORE - 1,), "every check but the first measures"
    return {
        "milliseconds": round(1e3 * statistics.median(wall[BEFORE:]), 2),
        "processor": round(1e3 * statistics.median(processor[BEFORE:]), 2),
    }
