"""What the act tests put into the database and read back."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.types.json import Jsonb

from schemas.events.trigger import TriggerCommand, TriggerResult
from streams.runtime.agent import Context
from streams.runtime.jobs import queue_job

NAMESPACE = "ns_act"
START = datetime(2014, 1, 1, tzinfo=UTC)
TEXTS = [f"{'ebola outbreak liberia' if number % 2 else 'yoga running fitness'} {number}" for number in range(40)]
"""Documents of two topics."""


class FakeClock:
    """A clock the test moves."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **delta: float) -> None:
        """Move on by ``timedelta(**delta)``."""
        self.now += timedelta(**delta)


def execution(collections: Sequence[str] = ("col_a",), **config: Any) -> dict[str, Any]:
    """An action_config of a cluster trigger with a configuration of its own."""
    return {"execution_config": {"collection_ids": list(collections), "config": config}}


def command(job_id: str = "job_1", **fields: Any) -> TriggerCommand:
    """A command, kmeans with 2 clusters over col_a unless told otherwise."""
    known: dict[str, Any] = {
        "job_id": job_id,
        "trigger_id": "trig_1",
        "namespace_id": NAMESPACE,
        "family": "cluster_trigger",
        "action_type": "cluster",
        "action_config": execution(algorithm="kmeans", n_clusters=2),
        "nominal_at": START,
        "triggered_at": START,
        "reason": "drift 0.5 exceeds 0.3",
    }
    return TriggerCommand(**{**known, **fields})


async def add_trigger(context: Context, trigger_id: str = "trig_1", **columns: Any) -> None:
    """A row of trigger_state."""
    values = {
        "trigger_id": trigger_id,
        "namespace_id": NAMESPACE,
        "family": "cluster_trigger",
        "trigger_type": "conditional",
        **columns,
    }
    async with context.database.connection() as connection:
        await connection.execute(
            f"INSERT INTO trigger_state ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})".encode(),
            list(values.values()),
        )


async def add_documents(
    context: Context,
    texts: Sequence[str | None],
    *,
    collection: str = "col_a",
    partitions: int = 1,
    every: timedelta = timedelta(hours=1),
    payloads: Sequence[Any] | None = None,
) -> None:
    """Documents ``d000000…``, one every ``every`` from START on, dealt to partitions in turn."""
    async with context.database.transaction() as connection, connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO documents (namespace_id, collection_id, document_id, payload, text, occurred_at,"
            " appended_at, partition, record_offset, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    NAMESPACE,
                    collection,
                    f"d{number:06}",
                    None if payloads is None else Jsonb(payloads[number]),
                    text,
                    START + number * every,
                    START,
                    number % partitions,
                    number // partitions,
                    START,
                )
                for number, text in enumerate(texts)
            ],
        )


async def add_vectors(
    context: Context,
    vectors: NDArray[np.float32],
    *,
    feature: str = "mixpeek://test@v1/v",
    collection: str = "col_a",
) -> None:
    """Vectors of the documents of :func:`add_documents`, by number."""
    async with context.database.transaction() as connection, connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO document_vectors (namespace_id, collection_id, feature_uri, document_id, embedding)"
            " VALUES (%s, %s, %s, %s, %s)",
            [(NAMESPACE, collection, feature, f"d{number:06}", row) for number, row in enumerate(vectors)],
        )


async def queue(context: Context, fire: TriggerCommand, **baseline: Any) -> None:
    """Queue a fire as the deciding stations do."""
    async with context.database.transaction() as connection:
        assert await queue_job(connection, fire, **baseline)


async def row(context: Context, table: str, column: str, key: str) -> dict[str, Any] | None:
    """One row by key, as a mapping."""
    async with context.database.connection() as connection:
        cursor = await connection.execute(
            f"SELECT to_jsonb(t) FROM {table} t WHERE {column} = %s".encode(), (key,)
        )
        found = await cursor.fetchone()
        return None if found is None else found[0]


async def job_row(context: Context, job_id: str = "job_1") -> dict[str, Any]:
    """A job."""
    found = await row(context, "jobs", "job_id", job_id)
    assert found is not None
    return found


async def trigger_row(context: Context, trigger_id: str = "trig_1") -> dict[str, Any]:
    """A trigger's state."""
    found = await row(context, "trigger_state", "trigger_id", trigger_id)
    assert found is not None
    return found


async def results(context: Context, job_id: str = "job_1") -> list[TriggerResult]:
    """The result records of a job waiting in the outbox, in order."""
    async with context.database.connection() as connection:
        cursor = await connection.execute("SELECT value FROM outbox WHERE topic = 'trigger-results' ORDER BY id")
        decoded = [TriggerResult.decode(bytes(record[0])) for record in await cursor.fetchall()]
    return [result for result in decoded if result.job_id == job_id]
