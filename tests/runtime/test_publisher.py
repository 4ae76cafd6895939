import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic

from schemas.events.document import DocumentEvent, decode_document_event
from schemas.headers import DEFINITIONS_VERSION, PRODUCER, WATERMARK, DefinitionsVersion, header
from schemas.times import from_millis, parse_instant
from schemas.topics import DOCUMENTS
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.publisher import Publisher, PublishError
from streams.settings import Settings
from tests.support import TestBroker

START = datetime(2014, 1, 1, tzinfo=UTC)


def document(number: int, seconds: float, collection: str = "col_1", **more: Any) -> DocumentEvent:
    moment = START + timedelta(seconds=seconds)
    return DocumentEvent("document.upserted", "ns_1", collection, f"d{number}", moment, **more)


async def everything(broker: Broker) -> dict[int, list[tuple[DocumentEvent, Any]]]:
    """All records of ``documents`` by partition, in log order."""
    consumer = broker.consumer()
    await consumer.start()
    try:
        partitions = [TopicPartition(broker.topic(DOCUMENTS), number) for number in range(3)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: dict[int, list[tuple[DocumentEvent, Any]]] = {0: [], 1: [], 2: []}
        while sum(map(len, found.values())) < sum(ends.values()):
            for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    event = decode_document_event(
                        record.key, record.value, record.headers, appended_at=from_millis(record.timestamp)
                    )
                    found[partition.partition].append((event, tuple(record.headers)))
        return found
    finally:
        await consumer.stop()


class Witness:
    """Looks over a real client's shoulder: what had been acknowledged when each record was sent."""

    def __init__(self, publisher: Publisher) -> None:
        self.sent: list[tuple[datetime | None, int, int]] = []
        """Watermark, number of documents acknowledged then, number sent then."""
        self.acknowledged: list[datetime] = []
        self._documents = 0
        self._send = publisher._client.send
        publisher._client.send = self._spy

    async def _spy(self, topic: str, value: bytes, **options: Any) -> Any:
        mark = header(options["headers"], WATERMARK)
        instant = None if mark is None else parse_instant(mark)
        if options["key"] is None:
            instant = decode_document_event(None, value, (), appended_at=START).occurred_at
        self.sent.append((instant, len(self.acknowledged), self._documents))
        future = await self._send(topic, value, **options)
        if options["key"] is not None:
            self._documents += 1
            moment = decode_document_event(None, value, (), appended_at=START).occurred_at
            future.add_done_callback(lambda _: self.acknowledged.append(moment))
        return future

    def check(self, source: Sequence[DocumentEvent], late: frozenset[datetime] = frozenset()) -> None:
        """Everything that occurred before a watermark was acknowledged before the record that carries it."""
        for mark, acknowledged, _ in self.sent:
            assert mark is not None
            done = set(self.acknowledged[:acknowledged])
            missing = [e.occurred_at for e in source if e.occurred_at < mark and e.occurred_at not in done | late]
            assert not missing, (mark, missing[:3])


@pytest.mark.parametrize("lateness", [0.0, 40.0])
async def test_a_watermark_holds_when_its_record_is_sent(context: Context, lateness: float) -> None:
    generator = random.Random(11)
    seconds = [number + (generator.uniform(0, lateness) if lateness else 0) for number in range(1500)]
    source = [document(number, moment, text="x" * 200) for number, moment in enumerate(seconds)]
    async with Publisher(context.broker, lateness=timedelta(seconds=lateness)) as publisher:
        witness = Witness(publisher)
        for event in source:
            await publisher.publish(event)
    assert (publisher.sent, publisher.acknowledged, publisher.late) == (1500, 1500, 0)
    witness.check(source)
    # Not just safe: several records were in flight, and the watermark moved while they were.
    assert max(sent - done for _, done, sent in witness.sent) > 10
    assert len({mark for mark, _, _ in witness.sent}) > 3


async def test_what_is_older_than_a_watermark_is_counted_and_the_watermark_stays(context: Context) -> None:
    async with Publisher(context.broker) as publisher:
        await publisher.publish(document(1, 100))
        await publisher.drain()
        await publisher.publish(document(2, 200))
        await publisher.publish(document(3, 50))
    assert publisher.late == 1
    marks = {
        event.document_id: header(headers, WATERMARK)
        for records in (await everything(context.broker)).values()
        for event, headers in records
        if event.document_id
    }
    assert marks["d1"] == "2014-01-01T00:01:40.000Z"
    assert marks["d2"] == marks["d3"] == "2014-01-01T00:03:20.000Z"


async def test_at_the_end_every_partition_is_told_the_watermark_of_every_collection(context: Context) -> None:
    version = DefinitionsVersion("epoch", 7)
    async with Publisher(context.broker, definitions=version, producer="feed") as publisher:
        await publisher.publish(document(1, 10, "col_1"))
        await publisher.publish(document(2, 5, "col_2"))
    for records in (await everything(context.broker)).values():
        ends = {e.collection_id: e.occurred_at for e, _ in records if e.type == "watermark"}
        assert ends == {"col_1": START + timedelta(seconds=10), "col_2": START + timedelta(seconds=5)}
        for _, headers in records:
            assert header(headers, DEFINITIONS_VERSION) == "epoch:7"
            assert header(headers, PRODUCER) == "feed"


async def test_a_watermark_of_the_source_itself_comes_after_what_was_before_it(context: Context) -> None:
    mark = DocumentEvent("watermark", "ns_1", "col_1", "", START + timedelta(seconds=99))
    async with Publisher(context.broker) as publisher:
        witness = Witness(publisher)
        for number in range(50):
            await publisher.publish(document(number, number))
        await publisher.publish(mark)
    assert [sent for sent in witness.sent if sent[0] == mark.occurred_at] == [(mark.occurred_at, 50, 50)] * 3


async def test_after_an_error_in_the_source_no_end_is_announced(context: Context) -> None:
    with pytest.raises(ZeroDivisionError):
        async with Publisher(context.broker) as publisher:
            await publisher.publish(document(1, 1))
            raise ZeroDivisionError
    assert publisher.acknowledged == 1
    events = [event for records in (await everything(context.broker)).values() for event, _ in records]
    assert [event.type for event in events] == ["document.upserted"]


@pytest.fixture
async def small_documents(settings: Settings, real_kafka: TestBroker) -> None:
    """A ``documents`` topic that takes no record of 20 kB. Made before the others: a changed configuration comes
    into force some time after the broker has answered."""
    broker = Broker(settings)
    admin = broker.admin()
    await admin.start()
    try:
        limit = {"max.message.bytes": "20000"}
        await admin.create_topics([NewTopic(broker.topic(DOCUMENTS), 3, 1, topic_configs=limit)])
    finally:
        await admin.close()


@pytest.mark.kafka
async def test_a_record_the_broker_refuses_is_an_error_and_holds_the_watermark_back(
    small_documents: None, context: Context
) -> None:
    noise = "".join(map(chr, random.Random(3).choices(range(200, 60_000 - 5000), k=60_000)))
    publisher = Publisher(context.broker)
    async with publisher:
        await publisher.publish(document(1, 1))
        await publisher.drain()
        await publisher.publish(document(2, 2, text=noise))
        with pytest.raises(PublishError, match=r"document ns_1/col_1/d2 .*MessageSizeTooLarge"):
            await publisher.drain()
        with pytest.raises(PublishError, match="d2"):
            await publisher.publish(document(3, 3))
        with pytest.raises(PublishError, match="d2"):
            await publisher.close()
    assert (publisher.sent, publisher.acknowledged) == (2, 1)
