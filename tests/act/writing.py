"""Definitions for actions that write documents, and what they wrote: in the outbox, or taken in from it."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from psycopg.types.json import Jsonb

from schemas.events.definition import Kind
from schemas.events.document import DocumentEvent, decode_document_event
from schemas.features import HASHING
from schemas.headers import CAUSED_BY, DEFINITIONS_VERSION, SOURCE_POSITION
from streams.act.frames import parts_of, value_of
from streams.act.pool import Pool
from streams.act.progress import Reporter
from streams.act.station import Act
from streams.runtime.agent import Context
from streams.runtime.definitions import put_definition
from tests.act.stations import ended, running
from tests.act.support import NAMESPACE, START, add_trigger, command, job_row, queue
from tests.support import eventually

TOPICS: Final = {"ebola": "outbreak ebola virus epidemic", "yoga": "yoga running fitness exercise"}
FIELDS: Final = [{"field_path": "topic"}, {"field_path": "topic", "target_field": "tags", "merge_mode": "append"}]
MAPPINGS: Final = [{"input_key": "q", "source_type": "payload", "path": "text"}]


class Queued(NamedTuple):
    """A document event in the outbox."""

    event: DocumentEvent
    headers: dict[str, str]

    @property
    def causes(self) -> str | None:
        """The chain it carries."""
        return self.headers.get(CAUSED_BY)

    @property
    def made_from(self) -> str | None:
        """The version it replaces."""
        return self.headers.get(SOURCE_POSITION)


class Inline(Pool):
    """Computes in this process: a child takes seconds to start. Tests of kills have real ones."""

    def __init__(self) -> None:
        super().__init__(1)

    async def run(self, function: Callable[[Any], Any], payload: object, listener: Reporter | None = None) -> Any:
        """Call the function on what would arrive in a child."""
        parts = [bytearray(part) for part in parts_of(payload)]
        # A thread, as in a child no loop runs; one at a time, as in a child.
        async with self._slots:
            return await asyncio.to_thread(lambda: function(value_of(parts)))


async def define(context: Context, kind: Kind, identifier: str, **body: Any) -> None:
    """A definition as the API stores it."""
    async with context.database.transaction() as connection:
        await put_definition(connection, kind, NAMESPACE, identifier, body.get("name"), body)


async def collections(context: Context, *names: str, **body: Any) -> None:
    """Collections that documents may be written to."""
    for name in names:
        await define(context, "collection", name, enabled=True, source={"type": "direct_upsert"}, **body)


def nearest(min_score: float = 0.2) -> list[dict[str, Any]]:
    """The stages of a retriever that finds what is like the text ``q``."""
    query = {"input_mode": "text", "value": "{{INPUT.q}}"}
    search = {"feature_uri": HASHING, "query": query, "min_score": min_score}
    return [{"stage_name": "like", "config": {"stage_id": "feature_search", "parameters": {"searches": [search]}}}]


async def topics(context: Context, fields: list[dict[str, Any]] | None = FIELDS, **config: Any) -> None:
    """A flat taxonomy of two topics over ``col_topics``, matched by text."""
    await collections(context, "col_topics")
    async with context.database.transaction() as connection, connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO documents (namespace_id, collection_id, document_id, payload, text, occurred_at,"
            " appended_at, partition, record_offset, created_at)"
            " VALUES (%s, 'col_topics', %s, %s, %s, %s, %s, 0, 0, %s) ON CONFLICT DO NOTHING",
            [
                (NAMESPACE, name, Jsonb({"topic": name}), text, START, START, START)
                for name, text in TOPICS.items()
            ],
        )
    schema = {"q": {"type": "string", "required": True}}
    await define(context, "retriever", "ret_like", stages=nearest(), input_schema=schema)
    source = {"collection_id": "col_topics", **({} if fields is None else {"enrichment_fields": fields})}
    flat = {
        "taxonomy_type": "flat",
        "retriever_id": "ret_like",
        "input_mappings": MAPPINGS,
        "source_collection": source,
        **config,
    }
    await define(context, "taxonomy", "tax_1", config=flat)


async def ran(
    context: Context, action_type: str, config: dict[str, Any], job_id: str = "job_1", **fields: Any
) -> dict[str, Any]:
    """Run an action to its end in a station; the job's row."""
    if job_id == "job_1":
        await add_trigger(context)
    await queue(
        context, command(job_id, action_type=action_type, action_config=config, family="trigger", **fields)
    )
    act = Act(context)
    act.pool = Inline()
    async with running(act):
        await eventually(ended(context, job_id), timeout=60)
    return await job_row(context, job_id)


def enrichment(**config: Any) -> dict[str, Any]:
    """An action_config with its defaults, as the API fills it."""
    return {
        "taxonomy_id": "tax_1",
        "collection_id": "col_a",
        "incremental": False,
        "batch_size": 100,
        "parallelism": 2,
        **config,
    }


async def queued(context: Context) -> list[Queued]:
    """The documents waiting in the outbox, in order."""
    async with context.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT key, value, headers FROM outbox WHERE topic = 'documents' ORDER BY id"
        )
        rows = await cursor.fetchall()
    found = [
        Queued(decode_document_event(bytes(key), bytes(value), (), appended_at=START), dict(headers))
        for key, value, headers in rows
    ]
    assert all(DEFINITIONS_VERSION in one.headers for one in found)
    return found


async def collected(context: Context, offset: int = 1_000) -> int:
    """Store what waits in the outbox as collect would, from ``offset`` on; returns how many there were."""
    found = await queued(context)
    async with context.database.transaction() as connection, connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO documents (namespace_id, collection_id, document_id, payload, text, asset_id,"
            " occurred_at, appended_at, partition, record_offset, created_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 0, %s, %s)"
            " ON CONFLICT (namespace_id, collection_id, document_id) DO UPDATE SET payload = EXCLUDED.payload,"
            " text = EXCLUDED.text, record_offset = EXCLUDED.record_offset",
            [
                (
                    event.namespace_id,
                    event.collection_id,
                    event.document_id,
                    Jsonb(event.payload),
                    event.text,
                    event.asset_id,
                    event.occurred_at,
                    START,
                    offset + number,
                    START,
                )
                for number, (event, _) in enumerate(found)
            ],
        )
        await cursor.execute("DELETE FROM outbox WHERE topic = 'documents'")
    return len(found)
