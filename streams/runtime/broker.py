"""The Kafka protocol: clients with this system's settings, topics, and sends whose outcome is checked.

``AIOKafkaProducer.flush()`` returns normally while a produce future holds an error, so nothing here relies on
it: a :class:`Sends` collects the futures of a batch and :meth:`Sends.acknowledged` raises the first failure.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code
from aiokafka.structs import RecordMetadata

from schemas.topics import TOPICS, Topic
from streams.settings import Settings

HeaderList = list[tuple[str, bytes]]

_REPLICATION = 3
"""Copies of a new topic's records where nothing else is set; fewer on a smaller cluster."""


class Broker:
    """Makes clients for one cluster. Holds no connection itself."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def topic(self, topic: Topic) -> str:
        """The name of a topic on this broker."""
        return topic.named(self.settings.topic_prefix)

    def group(self, station: str) -> str:
        """The consumer group of a station."""
        return f"{self.settings.topic_prefix}tidewatch-{station}"

    def client_options(self) -> dict[str, Any]:
        """Options common to every client: addresses and what the operator passes through."""
        options: dict[str, Any] = {"bootstrap_servers": self.settings.kafka, **self.settings.kafka_options}
        if options.get("security_protocol", "PLAINTEXT").endswith("SSL") and "ssl_context" not in options:
            options["ssl_context"] = ssl.create_default_context(cafile=options.pop("ssl_cafile", None))
        return options

    def producer(
        self, *, linger_ms: int = 0, max_batch_size: int = 16_384, compression: str = "lz4"
    ) -> AIOKafkaProducer:
        """A producer that waits for all replicas; idempotent where the broker can be. ``max_batch_size`` in
        bytes."""
        return AIOKafkaProducer(
            **self.client_options(),
            acks="all",
            enable_idempotence=self.settings.kafka_idempotence,
            linger_ms=linger_ms,
            max_batch_size=max_batch_size,
            max_request_size=8 * 1024 * 1024,
            compression_type=compression,
        )

    def consumer(self, *topics: Topic, station: str | None = None, **options: Any) -> AIOKafkaConsumer:
        """A consumer that commits nothing by itself and starts at the beginning of a log it does not know.

        With ``station`` it joins that station's group; without, the caller assigns partitions.
        """
        settings: dict[str, Any] = {
            **self.client_options(),
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "fetch_max_wait_ms": self.settings.kafka_fetch_max_wait_ms,
            "fetch_max_bytes": 32 * 1024 * 1024,
            "max_partition_fetch_bytes": 4 * 1024 * 1024,
        }
        if station is not None:
            settings["group_id"] = self.group(station)
            if self.settings.instance:
                settings["group_instance_id"] = f"{self.settings.instance}-{station}"
        return AIOKafkaConsumer(*(self.topic(topic) for topic in topics), **{**settings, **options})

    def admin(self) -> AIOKafkaAdminClient:
        """An admin client."""
        return AIOKafkaAdminClient(**self.client_options())

    async def create_topics(self) -> list[str]:
        """Create every topic that is missing; existing ones are left as they are. Returns the new names."""
        admin = self.admin()
        await admin.start()
        try:
            existing = set(await admin.list_topics())
            missing = [topic for topic in TOPICS if self.topic(topic) not in existing]
            if not missing:
                return []
            brokers = len((await admin.describe_cluster())["brokers"])
            replication = self.settings.replication or min(_REPLICATION, brokers)
            response = await admin.create_topics([self._new_topic(topic, replication) for topic in missing])
            for name, code, message in response.topic_errors:
                # Another worker may create the same topic at the same moment.
                if code not in (0, TopicAlreadyExistsError.errno):
                    raise for_code(code)(f"creating topic {name}: {message}")
            return [self.topic(topic) for topic in missing]
        finally:
            await admin.close()

    def _new_topic(self, topic: Topic, replication: int) -> NewTopic:
        configs: dict[str, str] = {"cleanup.policy": topic.cleanup}
        if topic.retention is not None:
            configs["retention.ms"] = str(int(topic.retention.total_seconds() * 1000))
        partitions = topic.partitions
        if self.settings.partitions is not None and partitions > 1:
            partitions = self.settings.partitions
        return NewTopic(self.topic(topic), partitions, replication, topic_configs=configs)


class IdleConsumer:
    """A consumer that is only asked where partitions begin and end; opened when it is first needed."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._consumer: AIOKafkaConsumer | None = None

    async def get(self) -> AIOKafkaConsumer:
        """The consumer, started."""
        if self._consumer is None:
            # Partitions that are added later must be noticed before they hold much.
            consumer = self._broker.consumer(metadata_max_age_ms=30_000)
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer

    async def close(self) -> None:
        """Give it back."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()


class Sends:
    """The produce futures of one batch. Nothing is committed before all of them are acknowledged."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._futures: list[asyncio.Future[Any]] = []

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: HeaderList | None = None,
        partition: int | None = None,
    ) -> None:
        """Queue one record. Returns when it is in the client's buffer, not when it is acknowledged."""
        future = await self._producer.send(topic, value, key=key, headers=headers or [], partition=partition)
        self._futures.append(future)

    async def acknowledged(self) -> list[RecordMetadata]:
        """Wait until the broker has acknowledged every record; where each is, in order. Raises the first
        failure."""
        outcomes = await self._outcomes()
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return outcomes

    async def failures(self) -> list[BaseException | None]:
        """Wait for every record's outcome; per record why the broker does not have it, ``None`` if it has."""
        outcomes = await self._outcomes()
        return [outcome if isinstance(outcome, BaseException) else None for outcome in outcomes]

    async def _outcomes(self) -> list[Any]:
        futures, self._futures = self._futures, []
        return await asyncio.gather(*futures, return_exceptions=True)


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    """The partitions of an existing topic; the client learns of a topic when it is first asked about it."""
    known = consumer.partitions_for_topic(topic)
    if not known:
        # Makes the client fetch the topic's metadata, all partitions included.
        await consumer.end_offsets([TopicPartition(topic, 0)])
        known = consumer.partitions_for_topic(topic) or {0}
    return sorted(known)


async def end_offsets(consumer: AIOKafkaConsumer, topic: str) -> dict[int, int]:
    """The offset after the last record of each partition of a topic, asked of the broker now.

    Tansu names the offset after the first record of the last batch: more than any position before that batch, so
    "is there more" is answered right except from within it. :func:`fetched_ends` answers it there too.
    """
    partitions = await partitions_of(consumer, topic)
    ends = await consumer.end_offsets([TopicPartition(topic, partition) for partition in partitions])
    return {tp.partition: offset for tp, offset in ends.items()}


async def fetched_ends(consumer: AIOKafkaConsumer, topic: str, positions: Mapping[int, int]) -> dict[int, int]:
    """The offset after the last record of partitions, as a fetch from these positions tells it: right also where
    the broker names another when it is asked. The consumer must read nothing else; waits without end for a
    partition that has no leader."""
    partitions = [TopicPartition(topic, partition) for partition in positions]
    if not partitions:
        return {}
    consumer.assign(partitions)
    try:
        for tp in partitions:
            consumer.seek(tp, positions[tp.partition])
        while any(consumer.highwater(tp) is None for tp in partitions):
            await consumer.getmany(*partitions, timeout_ms=10)
        return {tp.partition: consumer.highwater(tp) for tp in partitions}
    finally:
        # It would go on fetching; to unsubscribe while it does breaks the client.
        consumer.pause(*partitions)
