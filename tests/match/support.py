"""Definitions, documents and a running match station for its tests."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any

from aiokafka import TopicPartition

from schemas.events.alert_result import AlertResultRecord, decode_alert_result
from schemas.events.definition import Kind, encode_definition
from schemas.events.document import DocumentEvent, encode_document_event
from schemas.events.progress import MatchProgress
from schemas.headers import DefinitionsVersion
from schemas.topics import ALERT_RESULTS, DEFINITIONS, DOCUMENTS, MATCH_PROGRESS
from streams.match.station import Match
from streams.runtime.agent import Context
from streams.runtime.definitions import put_definition
from tests.log import Sent, read_topic, send
from tests.support import at_work, eventually

NS = "ns_test"
COLLECTION = "col_news"
URI = "mixpeek://passthrough_extractor@v1/embedding"
NOW = datetime(2024, 5, 1, tzinfo=UTC)


def upsert(document_id: str, **fields: Any) -> DocumentEvent:
    """A document event of the collection."""
    fields.setdefault("collection_id", COLLECTION)
    return DocumentEvent(
        fields.pop("type", "document.upserted"),
        NS,
        fields.pop("collection_id"),
        document_id,
        fields.pop("at", NOW),
        **fields,
    )


def sent(event: DocumentEvent, *headers: tuple[str, str], partition: int | None = None) -> Sent:
    """An event as its producer sends it."""
    return Sent(
        event.key if event.document_id else None,
        encode_document_event(event),
        tuple((name, text.encode()) for name, text in headers),
        partition,
    )


async def publish(context: Context, *records: Sent) -> None:
    """Send records in order and wait for the acknowledgements."""
    await send(context, records)


def attribute_filter(**conditions: Any) -> dict[str, Any]:
    """A stage that filters."""
    parameters = {"conditions": conditions, "case_insensitive": True}
    return {"stage_name": "filter", "config": {"stage_id": "attribute_filter", "parameters": parameters}}


def feature_search(query: Any, min_score: float, uri: str = URI) -> dict[str, Any]:
    """A stage that searches."""
    parameters = {"searches": [{"feature_uri": uri, "query": query, "min_score": min_score}]}
    return {"stage_name": "search", "config": {"stage_id": "feature_search", "parameters": parameters}}


class Definitions:
    """Writes definitions to the database, and to the topic as the relay would."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._attached: dict[str, list[dict[str, Any]]] = {}
        self._held: list[tuple[bytes, bytes]] = []

    async def put(
        self, kind: Kind, identifier: str, body: dict[str, Any], *, relay: bool = True
    ) -> DefinitionsVersion:
        """Write one definition; ``relay`` publishes it."""
        async with self._context.database.transaction() as connection:
            stored = await put_definition(connection, kind, NS, identifier, identifier, body)
        self._held.append((stored.record.key, encode_definition(stored.record)))
        if relay:
            await self.relay()
        return stored.record.version

    async def relay(self) -> None:
        """Publish what was written and not published yet, in order."""
        producer = self._context.broker.producer()
        await producer.start()
        try:
            for key, value in self._held:
                await producer.send_and_wait(self._context.broker.topic(DEFINITIONS), value, key=key)
        finally:
            await producer.stop()
        self._held.clear()

    async def alert(
        self,
        alert_id: str,
        *stages: dict[str, Any],
        collection: str = COLLECTION,
        relay: bool = True,
        **fields: Any,
    ) -> DefinitionsVersion:
        """Write retriever and alert and attach it; returns the version of the attachment."""
        retriever = {
            "retriever_id": f"ret_{alert_id}",
            "collection_identifiers": [collection],
            "stages": list(stages),
        }
        await self.put("retriever", f"ret_{alert_id}", retriever, relay=relay)
        body = {
            "alert_id": alert_id,
            "name": alert_id,
            "retriever_id": f"ret_{alert_id}",
            "enabled": True,
            **fields,
        }
        await self.put("alert", alert_id, body, relay=relay)
        attached = self._attached.setdefault(collection, [])
        attached.append({"alert_id": alert_id, "execution_mode": "on_ingest"})
        return await self.collection(collection, attached, relay=relay)

    async def collection(
        self, collection: str, applications: list[dict[str, Any]], *, relay: bool = True, **fields: Any
    ) -> DefinitionsVersion:
        """Write a collection."""
        body = {"collection_id": collection, "enabled": True, "alert_applications": applications, **fields}
        return await self.put("collection", collection, body, relay=relay)


def matching(context: Context) -> AbstractAsyncContextManager[Match]:
    """A running station."""
    return at_work(Match(context))


async def results(context: Context) -> list[AlertResultRecord]:
    """Every alert result."""
    return [decode_alert_result(record.value) for record in await read_topic(context, ALERT_RESULTS)]


async def committed(context: Context) -> dict[int, int]:
    """What the group has committed, by partition of documents."""
    consumer = context.broker.consumer(station="match")
    await consumer.start()
    try:
        name = context.broker.topic(DOCUMENTS)
        partitions = [TopicPartition(name, number) for number in range(context.settings.partitions or 1)]
        consumer.assign(partitions)
        return {tp.partition: await consumer.committed(tp) or 0 for tp in partitions}
    finally:
        await consumer.stop()


async def begin_again(context: Context) -> None:
    """Put the group back to the beginning, as if nothing had been committed."""
    consumer = context.broker.consumer(station="match")
    await consumer.start()
    try:
        name = context.broker.topic(DOCUMENTS)
        partitions = [TopicPartition(name, number) for number in range(context.settings.partitions or 1)]
        consumer.assign(partitions)
        await consumer.commit(dict.fromkeys(partitions, 0))
    finally:
        await consumer.stop()


async def document_ends(context: Context) -> dict[int, int]:
    """The end offset of every partition of documents."""
    consumer = context.broker.consumer()
    await consumer.start()
    try:
        name = context.broker.topic(DOCUMENTS)
        count = context.settings.partitions or 1
        ends = await consumer.end_offsets([TopicPartition(name, number) for number in range(count)])
        return {tp.partition: offset for tp, offset in ends.items()}
    finally:
        await consumer.stop()


async def settled(context: Context, timeout: float = 30.0) -> None:
    """Wait until the group has committed everything published so far."""
    ends = await document_ends(context)

    async def done() -> bool:
        return await committed(context) == ends

    await eventually(done, timeout, every=0.1, what="match has committed everything")


def latest(records: Iterable[MatchProgress]) -> dict[tuple[int, str], MatchProgress]:
    """Per partition and collection the progress that went furthest."""
    found: dict[tuple[int, str], MatchProgress] = {}
    for record in records:
        key = (record.partition, record.collection_id)
        if key not in found or record.next_offset > found[key].next_offset:
            found[key] = record
    return found


async def progress_records(context: Context) -> list[MatchProgress]:
    """Every record of progress."""
    return [MatchProgress.decode(record.value) for record in await read_topic(context, MATCH_PROGRESS)]
