"""Running the station in a test, feeding it, and the plain recomputation it is compared with.

The recomputation reads the ``documents`` topic from its beginning and applies the rules one record at a time, in
Python dictionaries: no batches, no SQL, no code of the station.
"""

from collections import Counter, defaultdict
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
from aiokafka import ConsumerRecord, TopicPartition

from schemas.errors import DecodeError
from schemas.events.definition import Kind
from schemas.events.document import DocumentEvent, decode_document_event, encode_document_event
from schemas.headers import WATERMARK, header
from schemas.times import from_millis, parse_instant
from schemas.topics import DEAD_LETTERS, DOCUMENTS
from streams.collect.station import Collect
from streams.engines.drift.buckets import bucket_start
from streams.engines.drift.category_sketch import CategorySketch
from streams.engines.drift.number_sketch import NumberSketch
from streams.engines.drift.series import AnySketch, sketch_from_bytes
from streams.engines.drift.sketch import Sketch
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.runtime.agent import Context
from streams.runtime.definitions import delete_definition, put_definition
from tests.log import Sent, read_topic
from tests.support import at_work, eventually

NS = "ns_test"
DAY = datetime(2024, 3, 1, tzinfo=UTC)


def upsert(document: str, collection: str = "col_a", **fields: Any) -> DocumentEvent:
    """A document event; ``hours`` after the first day is when it occurred."""
    hours = fields.pop("hours", 0.0)
    return DocumentEvent(
        type=fields.pop("type", "document.upserted"),
        namespace_id=NS,
        collection_id=collection,
        document_id=document,
        occurred_at=DAY + timedelta(hours=hours),
        **fields,
    )


def sent(event: DocumentEvent, **options: Any) -> Sent:
    """An event as its producer sends it."""
    return Sent(event.key if event.document_id else None, encode_document_event(event), **options)


def collecting(context: Context) -> AbstractAsyncContextManager[Collect]:
    """A running station."""
    return at_work(Collect(context))


async def dead_letters(context: Context) -> list[ConsumerRecord]:
    """The dead letters so far."""
    return await read_topic(context, DEAD_LETTERS)


async def caught_up(context: Context, timeout: float = 30) -> None:
    """Wait until everything published is collected."""
    consumer = context.broker.consumer()
    await consumer.start()
    try:
        name = context.broker.topic(DOCUMENTS)
        partitions = [TopicPartition(name, number) for number in range(context.settings.partitions or 1)]
        ends = {tp.partition: end for tp, end in (await consumer.end_offsets(partitions)).items() if end > 0}
    finally:
        await consumer.stop()

    async def done() -> bool:
        rows = await fetch(context, "SELECT partition, next_offset FROM positions WHERE station = 'collect'")
        return dict(rows) == ends

    await eventually(done, timeout=timeout, what="collect catching up")


async def fetch(context: Context, query: str, parameters: Any = None) -> list[Any]:
    """Rows of a query."""
    async with context.database.connection() as connection:
        return await (await connection.execute(query.encode(), parameters)).fetchall()


async def define_trigger(
    context: Context,
    trigger_id: str,
    trigger_type: str,
    schedule: dict[str, Any],
    *,
    collections: tuple[str, ...] = ("col_a",),
    kind: Kind = "trigger",
    status: str = "active",
) -> None:
    """Create a trigger as the API does: the definition and its state in one transaction."""
    body: dict[str, Any] = {
        "trigger_id": trigger_id,
        "trigger_type": trigger_type,
        "schedule_config": schedule,
        "watched_collection_ids": list(collections),
    }
    if kind == "trigger":
        body |= {"action_type": "collection_trigger", "action_config": {"collection_id": "col_a"}}
    else:
        body |= {"cluster_id": "clust_1", "execution_config": None}
    async with context.database.transaction() as connection:
        await put_definition(connection, kind, NS, trigger_id, None, body)
        await connection.execute(
            "INSERT INTO trigger_state (trigger_id, namespace_id, family, trigger_type, status)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (trigger_id, NS, kind, trigger_type, status),
        )


async def drop_trigger(context: Context, trigger_id: str) -> None:
    """Delete a trigger's definition."""
    async with context.database.transaction() as connection:
        assert await delete_definition(connection, "trigger", NS, trigger_id)


DRIFT = {
    "condition_type": "drift",
    "threshold": 0.3,
    "check_interval_seconds": 86_400,
    "time_domain": "event_time",
}
"""A daily drift check on event time, over the built-in words."""


@dataclass
class Truth:
    """What the topic means, recomputed plainly."""

    documents: dict[tuple[str, str], tuple[Any, ...]] = field(default_factory=dict)
    """(collection, document) → (payload, text, occurred_at, partition, offset)."""
    vectors: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    counts: dict[tuple[str, int], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    watermarks: dict[tuple[str, int], datetime] = field(default_factory=dict)
    arrivals: list[tuple[str, int, DocumentEvent, datetime]] = field(default_factory=list)
    """(collection, partition, event, instant in event time) of every write that counts."""


async def recompute(context: Context, lateness: float = 0.0) -> Truth:
    """Read the topic and apply the rules record by record. Holds while an event id repeats in one partition and
    within its window."""
    truth = Truth()
    seen: set[str] = set()
    for record in await read_topic(context, DOCUMENTS):
        appended = from_millis(record.timestamp)
        try:
            event = decode_document_event(record.key, record.value, record.headers, appended_at=appended)
        except DecodeError:
            continue
        collection, where = event.collection_id, (event.collection_id, record.partition)
        said = header(record.headers, WATERMARK)
        before = truth.watermarks.get(where)
        if event.type == "watermark":
            marks = [event.occurred_at]
        elif said is not None:
            marks = [parse_instant(said)]
        else:
            gone = event.type == "document.deleted"
            marks = [] if gone else [event.occurred_at - timedelta(seconds=lateness)]
        for mark in (min(mark, appended + timedelta(days=1)) for mark in marks):
            truth.watermarks[where] = max(mark, before or mark)
        if event.type == "watermark":
            continue
        if event.event_id is not None:
            if event.event_id in seen:
                truth.counts[where]["duplicates"] += 1
                continue
            seen.add(event.event_id)
        key = (collection, event.document_id)
        if event.type == "document.deleted":
            truth.counts[where]["deleted"] += truth.documents.pop(key, None) is not None
        else:
            truth.counts[where]["updated" if key in truth.documents else "added"] += 1
            truth.counts[where]["late"] += before is not None and event.occurred_at < before
            truth.documents[key] = (event.payload, event.text, event.occurred_at, record.partition, record.offset)
            measured = event.occurred_at if before is None else max(before, event.occurred_at)
            truth.arrivals.append((collection, record.partition, event, measured))
        truth.vectors = {name: vector for name, vector in truth.vectors.items() if name[::2] != key}
        if event.type != "document.deleted":
            for uri, vector in event.features.items():
                truth.vectors[collection, uri, event.document_id] = vector.tolist()
    return truth


async def stored(context: Context) -> Truth:
    """What the database holds, in the same shape."""
    truth = Truth()
    for row in await fetch(
        context,
        "SELECT collection_id, document_id, payload, text, occurred_at, partition, record_offset FROM documents",
    ):
        truth.documents[row[0], row[1]] = tuple(row[2:])
    for collection, uri, document, vector in await fetch(
        context, "SELECT collection_id, feature_uri, document_id, embedding FROM document_vectors"
    ):
        truth.vectors[collection, uri, document] = vector.to_numpy().tolist()
    names = ("added", "updated", "deleted", "duplicates", "late")
    for collection, partition, watermark, *counts in await fetch(
        context, f"SELECT collection_id, partition, watermark, {', '.join(names)} FROM collection_counters"
    ):
        truth.counts[collection, partition] = Counter(dict(zip(names, counts, strict=True)))
        if watermark is not None:
            truth.watermarks[collection, partition] = watermark
    return truth


async def assert_equal_to_recomputation(context: Context, lateness: float = 0.0) -> Truth:
    """Compare documents, vectors, counters and watermarks with the topic."""
    expected, found = await recompute(context, lateness), await stored(context)
    assert found.documents == expected.documents
    assert found.vectors == expected.vectors
    assert {where: +count for where, count in found.counts.items() if +count} == {
        where: +count for where, count in expected.counts.items() if +count
    }
    assert found.watermarks == expected.watermarks
    return expected


Cells = dict[tuple[int, datetime], AnySketch]


async def stored_sketches(
    context: Context, feature: str, collection: str = "col_a", *, width_hours: int = 24
) -> Cells:
    """Sketch rows of a feature by partition and bucket, of one width."""
    rows = await fetch(
        context,
        "SELECT partition, bucket_start, documents, sketch FROM drift_sketches"
        " WHERE namespace_id = %s AND collection_id = %s AND feature = %s AND width_seconds = %s",
        (NS, collection, feature, width_hours * 3_600),
    )
    cells = {(row[0], row[1]): sketch_from_bytes(row[3]) for row in rows}
    for partition, start, documents, _ in rows:
        # A field that is a list has several values a document.
        assert cells[partition, start].count >= documents
    return cells


def plain_sketches(truth: Truth, feature: str, *, width_hours: int = 24, collection: str = "col_a") -> Cells:
    """The sketches of event-time buckets, each from its list of vectors, numbers or categories."""
    vectors: dict[tuple[int, datetime], list[Any]] = defaultdict(list)
    embedder = HashingEmbedder()
    for name, partition, event, measured in truth.arrivals:
        if name != collection:
            continue
        place = (partition, bucket_start(measured, width_hours * 3_600))
        fields = event.payload if isinstance(event.payload, dict) else {}
        if feature == "number:n":
            vectors[place] += [float(fields["n"])] if "n" in fields else []
        elif feature == "category:of.word":
            vectors[place] += [item["word"] for item in fields.get("of", ())]
        elif feature == HashingEmbedder.URI:
            text = event.text if event.text is not None else fields.get("text", "")
            vectors[place].append(embedder.embed([text])[0])
        elif feature in event.features:
            vectors[place].append(event.features[feature])
    return {place: _sketch(feature, rows) for place, rows in vectors.items() if rows}


def _sketch(feature: str, values: list[Any]) -> AnySketch:
    if feature.startswith("number:"):
        return NumberSketch.empty().add(values)
    if feature.startswith("category:"):
        return CategorySketch.empty().add(values)
    return Sketch.empty(len(values[0])).add(np.stack(values))


def assert_same_sketches(found: Cells, expected: Cells) -> None:
    """Equal to the last bit."""
    assert expected
    assert found.keys() == expected.keys()
    for place, sketch in expected.items():
        assert found[place].to_bytes() == sketch.to_bytes()


def dumps(value: Any) -> bytes:
    """JSON bytes."""
    return orjson.dumps(value)
