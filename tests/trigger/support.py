"""Triggers, sketches and watermarks put straight into the database, as api and collect leave them there."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.types.json import Jsonb

from schemas.events.definition import DefinitionRecord
from schemas.events.trigger import TriggerFamily
from schemas.headers import DefinitionsVersion
from schemas.topics import DOCUMENTS
from streams.act import lease, outcome
from streams.act.outcome import Outcome
from streams.collect.sketches import merge_cells, reconcile
from streams.collect.sketching import Place, Places, counted_cells, vector_cells
from streams.collect.watching import watch
from streams.engines.rules import schedule
from streams.engines.rules.condition import Condition
from streams.runtime.agent import Context
from streams.runtime.definitions import put_definition

NAMESPACE = "ns_test"
COLLECTION = "col_news"
DAY = 86_400
LEASE = timedelta(seconds=30)


def at(text: str) -> datetime:
    """``2014-10-02`` or ``2014-10-02T12:30`` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def create_trigger(
    context: Context,
    trigger_id: str,
    trigger_type: str,
    schedule_config: dict[str, Any],
    *,
    now: datetime,
    family: TriggerFamily = "trigger",
    next_scheduled_at: datetime | None = None,
    collections: Sequence[str] = (COLLECTION,),
) -> None:
    """What api writes at creation; a given ``next_scheduled_at`` is taken as it is."""
    body: dict[str, Any] = {
        "trigger_id": trigger_id,
        "trigger_type": trigger_type,
        "schedule_config": schedule_config,
        "watched_collection_ids": list(collections),
    }
    if family == "trigger":
        body |= {"action_type": "cluster", "action_config": {"cluster_id": "clust_1"}}
    else:
        body |= {"cluster_id": "clust_1", "execution_config": {"collection_ids": [COLLECTION], "config": {}}}
    if next_scheduled_at is None:
        next_scheduled_at = schedule.initial_state(trigger_type, schedule_config, now)["next_scheduled_at"]
    async with context.database.transaction() as connection:
        await put_definition(connection, family, NAMESPACE, trigger_id, None, body)
        await connection.execute(
            "INSERT INTO trigger_state (trigger_id, namespace_id, family, trigger_type, next_scheduled_at)"
            " VALUES (%s, %s, %s, %s, %s)",
            (trigger_id, NAMESPACE, family, trigger_type, next_scheduled_at),
        )


async def add_documents(
    context: Context,
    config: Mapping[str, Any],
    partition: int,
    documents: Iterable[tuple[datetime, NDArray[np.float64]]],
) -> None:
    """Sketches of documents, as collect writes them for a conditional trigger with this ``schedule_config``."""
    given = list(documents)
    condition = Condition.parse(config)
    specs = watch([_definition(config)]).specs[NAMESPACE, COLLECTION]
    places = Places(Place(partition, moment, moment) for moment, _ in given)
    async with context.database.transaction() as connection:
        await reconcile(connection, specs, {partition: 0})
        if not given:
            return
        if condition.condition_type == "volume":
            cells = counted_cells(specs, places)
        else:
            cells = vector_cells(specs, places, np.array([vector for _, vector in given]))
        await merge_cells(connection, cells)


def _definition(config: Mapping[str, Any]) -> DefinitionRecord:
    body = {
        "trigger_type": "conditional",
        "schedule_config": config,
        "watched_collection_ids": [COLLECTION],
    }
    return DefinitionRecord("trigger", NAMESPACE, "trig", 1, DefinitionsVersion("epoch", 1), body=body)


async def set_watermark(
    context: Context, partition: int, mark: datetime | None, position: int | None = None
) -> None:
    """How far collect is in a partition."""
    async with context.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO collection_counters (namespace_id, collection_id, partition, watermark)"
            " VALUES (%s, %s, %s, %s) ON CONFLICT (namespace_id, collection_id, partition)"
            " DO UPDATE SET watermark = EXCLUDED.watermark",
            (NAMESPACE, COLLECTION, partition, mark),
        )
        if position is not None:
            await connection.execute(
                "INSERT INTO positions (station, topic, partition, next_offset) VALUES ('collect', %s, %s, %s)"
                " ON CONFLICT (station, topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset",
                (context.broker.topic(DOCUMENTS), partition, position),
            )


async def rows(context: Context, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    async with context.database.connection() as connection:
        return await (await connection.execute(query.encode(), parameters)).fetchall()


async def fires(context: Context, trigger_id: str) -> list[datetime]:
    """The nominal times of a trigger's runs, in order."""
    found = await rows(
        context,
        "SELECT nominal_at FROM jobs WHERE trigger_id = %s AND status <> 'skipped' ORDER BY nominal_at",
        trigger_id,
    )
    return [row[0] for row in found]


async def checks(context: Context, trigger_id: str) -> list[tuple[datetime, bool, str]]:
    """(nominal time, fired, reason) of every check, in order."""
    return [
        (row[0], row[1], row[2])
        for row in await rows(
            context,
            "SELECT nominal_at, fired, reason FROM trigger_checks WHERE trigger_id = %s ORDER BY nominal_at",
            trigger_id,
        )
    ]


async def state(context: Context, trigger_id: str, *columns: str) -> tuple[Any, ...]:
    """Columns of a trigger's state."""
    (row,) = await rows(
        context, f"SELECT {', '.join(columns)} FROM trigger_state WHERE trigger_id = %s", trigger_id
    )
    return row


async def end_job(context: Context, now: datetime, *, error: str | None = None) -> None:
    """Claim the oldest job and end it the way the act station does."""
    async with context.database.transaction() as connection:
        job = await lease.claim(connection, "test", now, LEASE)
    assert job is not None
    async with context.database.transaction() as connection:
        await outcome.hold(connection, job)
        await outcome.end(connection, job, Outcome(error=error), now)


async def set_body(context: Context, trigger_id: str, schedule_config: dict[str, Any]) -> None:
    """Replace the stored ``schedule_config`` behind the back of every check."""
    async with context.database.connection() as connection:
        await connection.execute(
            "UPDATE definitions SET body = body || %s WHERE id = %s",
            (Jsonb({"schedule_config": schedule_config}), trigger_id),
        )
