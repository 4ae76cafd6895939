"""Records and definitions the query tests are made of, and a client that speaks to the read routes."""

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from aiokafka import TopicPartition
from fastapi import FastAPI

from schemas.events.alert_result import AlertHit, AlertResultRecord, encode_alert_result
from schemas.events.progress import MatchProgress
from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.ids import ExecutionHasher, document_key
from schemas.topics import Topic
from streams.query.results import ResultReader
from streams.query.routes import routers
from streams.query.rows import Rows
from streams.query.station import NAME, build
from streams.query.store import write
from streams.runtime.agent import Context, StreamAgent
from streams.runtime.broker import Sends
from streams.runtime.database import stored_positions
from streams.runtime.definitions import StoredDefinition, delete_definition, put_definition
from streams.runtime.freshness import VIEWED
from streams.runtime.http.errors import install_error_handlers
from tests.support import at_work, eventually

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
NAMESPACE = "ns_a"
KEY = "sk_test"
HASHER = ExecutionHasher("tests")

VIEW_TABLES = (
    "result_documents",
    "alert_executions",
    "result_bases",
    "result_additions",
    "alert_execution_counts",
    "match_progress",
    "trigger_executions",
    "retriever_executions",
    "delivery_status",
)


def hit(alert: StoredDefinition, score: float = 0.75) -> AlertHit:
    """An alert that fired."""
    return AlertHit(
        alert_number=alert.record.number,
        alert_id=alert.record.id,
        alert_version=alert.record.version.number,
        retriever_id=alert.body["retriever_id"],
        score=score,
        reason="severity is 5",
        matched_features={"mixpeek://hashing@v1/words": score},
    )


def result(
    offset: int,
    *hits: AlertHit,
    at: datetime = NOON,
    event_id: str | None = None,
    namespace_id: str = NAMESPACE,
    document: Mapping[str, Any] | None = None,
) -> AlertResultRecord:
    """What the document at an offset of partition 0 set off."""
    name = f"doc_{offset}"
    fields = {"document_id": name, "collection_id": "col_a", "title": f"Title {offset}", "severity": 5}
    return AlertResultRecord(
        base=HASHER.base(namespace_id, event_id, "documents", 0, offset),
        namespace_id=namespace_id,
        collection_id="col_a",
        document_id=name,
        source_topic="documents",
        source_partition=0,
        source_offset=offset,
        appended_at=at,
        occurred_at=at - timedelta(minutes=1),
        executed_at=at + timedelta(milliseconds=7),
        duration_ms=3,
        definitions_version=9,
        hits=hits,
        keyed=event_id is not None,
        document=fields if document is None else dict(document),
    )


def progress(version: int, *, at: datetime = NOON, next_offset: int = 10, partition: int = 0) -> MatchProgress:
    """How far ``col_a`` has been checked."""
    return MatchProgress(
        source_topic="documents",
        partition=partition,
        namespace_id=NAMESPACE,
        collection_id="col_a",
        next_offset=next_offset,
        occurred_at=at - timedelta(minutes=1),
        appended_at=at,
        definitions_version=version,
    )


async def define_namespace(context: Context, namespace_id: str = NAMESPACE, name: str = "default") -> None:
    """A namespace."""
    async with context.database.transaction() as connection:
        body = {"namespace_id": namespace_id, "namespace_name": name}
        await put_definition(connection, "namespace", "", namespace_id, name, body)


async def define_alert(
    context: Context, name: str, *, namespace_id: str = NAMESPACE, include_matches: bool = True
) -> StoredDefinition:
    """An alert ``alt_<name>`` on retriever ``ret_a``."""
    body = {
        "alert_id": f"alt_{name}",
        "name": name,
        "retriever_id": "ret_a",
        "enabled": True,
        "notification_config": {"channels": [], "include_matches": include_matches},
    }
    async with context.database.transaction() as connection:
        return await put_definition(connection, "alert", namespace_id, f"alt_{name}", name, body)


async def define_collection(context: Context, *alert_ids: str, mode: str = "on_ingest") -> StoredDefinition:
    """Collection ``col_a`` with alerts attached."""
    applications = [{"alert_id": alert_id, "execution_mode": mode} for alert_id in alert_ids]
    body = {"collection_id": "col_a", "enabled": True, "alert_applications": applications or None}
    async with context.database.transaction() as connection:
        return await put_definition(connection, "collection", NAMESPACE, "col_a", "a", body)


async def define_retriever(context: Context) -> StoredDefinition:
    """Retriever ``ret_a`` of two stages."""
    stages = [{"stage_name": name, "config": {"stage_id": "attribute_filter"}} for name in ("severe", "recent")]
    body = {"retriever_id": "ret_a", "stages": stages, "budget_limits": {"max_credits": 5.0, "max_time_ms": 900}}
    async with context.database.transaction() as connection:
        return await put_definition(connection, "retriever", NAMESPACE, "ret_a", "a", body)


async def delete(context: Context, alert_id: str) -> None:
    """Delete an alert as the API does."""
    async with context.database.transaction() as connection:
        assert await delete_definition(connection, "alert", NAMESPACE, alert_id)


async def apply(context: Context, topic: Topic, *values: bytes) -> None:
    """Write records into the view in one transaction, without a broker."""
    rows = Rows(ResultReader())
    for offset, value in enumerate(values):
        rows.add(topic.name, value, 0, offset)
    async with context.database.transaction() as connection:
        await write(connection, rows)


async def publish(context: Context, topic: Topic, records: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Send (key, value) records and wait for their acknowledgement."""
    producer = context.broker.producer()
    await producer.start()
    try:
        sends = Sends(producer)
        for key, value in records:
            await sends.send(context.broker.topic(topic), key, value)
        await sends.acknowledged()
    finally:
        await producer.stop()


def keyed(*records: AlertResultRecord) -> list[tuple[bytes, bytes]]:
    """Alert results as they are published."""
    return [
        (document_key(item.namespace_id, item.collection_id, item.document_id), encode_alert_result(item))
        for item in records
    ]


def running(context: Context) -> AbstractAsyncContextManager[StreamAgent]:
    """The station at work."""
    return at_work(build(context))


async def drained(context: Context) -> None:
    """Wait until the view stands at the end of every topic it reads."""
    consumer = context.broker.consumer()
    await consumer.start()

    async def at_end() -> bool:
        for topic in VIEWED:
            name = context.broker.topic(topic)
            partitions = [TopicPartition(name, number) for number in range(context.settings.partitions or 1)]
            ends = await consumer.end_offsets(partitions)
            async with context.database.connection() as connection:
                stored = await stored_positions(connection, NAME, name)
            for partition, end in ends.items():
                position = stored.get(partition.partition)
                if end != (0 if position is None else position.next_offset):
                    return False
        return True

    try:
        await eventually(at_end, timeout=30, what="the view at the end of its topics")
    finally:
        await consumer.stop()


async def table(context: Context, name: str) -> list[tuple[str, ...]]:
    """A whole table of the view as text, in an order of its own."""
    async with context.database.connection() as connection:
        cursor = await connection.execute(f"SELECT * FROM {name}".encode())
        return sorted(tuple(str(value) for value in row) for row in await cursor.fetchall())


async def view(context: Context) -> dict[str, list[tuple[str, ...]]]:
    """The whole view."""
    return {name: await table(context, name) for name in VIEW_TABLES}


@asynccontextmanager
async def client(context: Context) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the read routes with a key of every scope."""
    async with context.database.connection() as connection:
        await connection.execute(
            "INSERT INTO api_keys (key_id, secret_sha256, name) VALUES ('key_1', %s, 'tests')"
            " ON CONFLICT DO NOTHING",
            (hashlib.sha256(KEY.encode()).digest(),),
        )
    app = FastAPI()
    app.state.context = context
    install_error_handlers(app)
    for router in routers():
        app.include_router(router)
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {KEY}", "X-Namespace": NAMESPACE}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as session:
        yield session


def run_record(documents: list[dict[str, Any]]) -> RetrieverExecutionRecord:
    """A run of the retriever ``ret_a`` at noon, which found these."""
    return RetrieverExecutionRecord(
        execution_id="exec_run",
        namespace_id=NAMESPACE,
        retriever_id="ret_a",
        status="completed",
        created_at=NOON,
        completed_at=NOON,
        detail={"documents": documents},
    )
