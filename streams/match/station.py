"""match: checks each document against every standing alert of its collection.

Results are produced and acknowledged before progress is, and progress before the position is committed to
Kafka: a crash anywhere in between makes the same records again, with the same ids (design sections 1 and 3).
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import islice
from typing import Any

import structlog
from aiokafka import TopicPartition

from schemas.errors import DecodeError
from schemas.events.alert_result import AlertResultRecord
from schemas.events.definition import DefinitionRecord
from schemas.events.document import UPSERTED
from schemas.ids import ExecutionHasher
from schemas.topics import DOCUMENTS, MATCH_PROGRESS, Topic
from streams.engines.retrieval.percolator import Percolator
from streams.match.alerts import StandingAlert, standing_alerts
from streams.match.arrivals import Arrival, read_arrival
from streams.match.progress import progress
from streams.match.results import Checked, compose
from streams.match.sending import ResultSender
from streams.match.versions import VersionGate
from streams.runtime import metrics
from streams.runtime.agent import Context, StreamAgent
from streams.runtime.broker import Sends
from streams.runtime.definitions import DefinitionsTail
from streams.runtime.failure import LogMismatchError
from streams.runtime.faults import fault
from streams.runtime.loop import Batch, DeadLetters, StationLoop

log = structlog.get_logger(__name__)

CHUNK = 512
"""Documents matched between two turns of the event loop; also what one matrix product takes."""


def build(context: Context) -> StreamAgent:
    """The station, for the registry."""
    return Match(context)


class DefinitionsTailError(RuntimeError):
    """The tail of definitions ended: going on would match by definitions that grow old unnoticed."""


class Match:
    """The station: one per worker."""

    name = "match"
    topics: tuple[Topic, ...] = (DOCUMENTS,)

    def __init__(self, context: Context) -> None:
        self._context = context
        self._tail = DefinitionsTail(context.broker, context.database, self._changed)
        self._gate = VersionGate(self._tail, context.database, context.settings.definitions_wait_seconds)
        self._percolators: dict[tuple[str, str], Percolator[StandingAlert] | None] = {}
        self._progress_topic = context.broker.topic(MATCH_PROGRESS)
        self._hasher = ExecutionHasher("")
        self._producer: Any = None
        self._sender = ResultSender(context.broker)
        self._dead_letters: DeadLetters | None = None
        self._loop: StationLoop | None = None
        self._stopping = False

    async def run(self) -> None:
        """Match until :meth:`stop`."""
        broker = self._context.broker
        async with AsyncExitStack() as stack:
            await self._tail.start()
            stack.push_async_callback(self._tail.stop)
            self._hasher = ExecutionHasher(self._tail.catalog.epoch)
            producer = self._producer = broker.producer()
            await producer.start()
            stack.push_async_callback(producer.stop)
            stack.push_async_callback(self._sender.stop)
            await self._sender.start()
            self._dead_letters = DeadLetters(broker, producer, self.name)
            self._loop = StationLoop(broker, self, batch_records=self._context.settings.batch_documents)
            if self._stopping:
                self._loop.stop()
            await self._loop.run()

    def stop(self) -> None:
        """Finish the batch in hand and return from :meth:`run`."""
        self._stopping = True
        if self._loop is not None:
            self._loop.stop()

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """None: match goes on where its group committed."""
        return {}

    async def handle(self, batch: Batch) -> None:
        """Match a batch. When this returns, its results and its progress are with the broker."""
        self._check_tail()
        arrivals = await self._read(batch)
        await self._gate.reach({arrival.version for arrival in arrivals if arrival.version is not None})
        version = self._tail.catalog.version
        self._sender.begin()
        executions = 0
        documents = (arrival for arrival in arrivals if arrival.event.type == UPSERTED)
        while chunk := list(islice(documents, CHUNK)):
            records = self._match(chunk, version)
            executions += sum(len(record.hits) for record in records)
            await self._sender.send(records)
            await asyncio.sleep(0)
        await self._sender.acknowledged()
        await fault("match:after-produce")
        metrics.EXECUTIONS.inc(executions)
        sends = Sends(self._producer)
        ends = {tp.partition: records[-1].offset + 1 for tp, records in batch.items()}
        for reached in progress(arrivals, ends, version):
            await sends.send(self._progress_topic, reached.key, reached.encode())
        await sends.acknowledged()

    async def _read(self, batch: Batch) -> list[Arrival]:
        assert self._dead_letters is not None
        arrivals: list[Arrival] = []
        for tp, records in batch.items():
            for record in records:
                try:
                    arrivals.append(
                        read_arrival(
                            tp.topic,
                            tp.partition,
                            record.offset,
                            record.timestamp,
                            record.key,
                            record.value,
                            record.headers,
                        )
                    )
                except DecodeError as error:
                    await self._dead_letters.put(record, error)
        await asyncio.sleep(0)
        return arrivals

    def _match(self, arrivals: Sequence[Arrival], version: int) -> list[AlertResultRecord]:
        """The records of a chunk of documents, those of one collection together."""
        started, executed_at = time.monotonic(), self._context.clock()
        collections: defaultdict[tuple[str, str], list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            collections[arrival.event.namespace_id, arrival.event.collection_id].append(arrival)
        found = [
            (arrival, hits)
            for key, group in collections.items()
            if (percolator := self._percolator(*key)) is not None
            for arrival, hits in zip(group, percolator.match([item.event for item in group]), strict=True)
            if hits
        ]
        checked = Checked(executed_at, int((time.monotonic() - started) * 1_000), version)
        records = (compose(arrival, hits, checked, self._hasher) for arrival, hits in found)
        return [record for record in records if record is not None]

    def _percolator(self, namespace_id: str, collection_id: str) -> Percolator[StandingAlert] | None:
        """The compiled alerts of a collection; ``None`` when it has none or is unknown."""
        key = (namespace_id, collection_id)
        if key not in self._percolators:
            if self._tail.catalog.get("collection", namespace_id, collection_id) is None:
                # Not remembered: anybody may write any name into the topic.
                return None
            standing = standing_alerts(self._tail.catalog, namespace_id, collection_id)
            for alert_id, reason in standing.refused:
                log.warning("alert_not_checked", alert=alert_id, collection=collection_id, reason=reason)
            alerts = standing.alerts
            self._percolators[key] = Percolator(alerts, lambda alert: alert.plan) if alerts else None
        return self._percolators[key]

    def _changed(self, record: DefinitionRecord) -> None:
        """Compile a namespace's alerts again when something they depend on has changed."""
        if record.kind in ("collection", "retriever", "alert"):
            for key in [key for key in self._percolators if key[0] == record.namespace_id]:
                del self._percolators[key]

    def _check_tail(self) -> None:
        failure = self._tail.failure
        if isinstance(failure, LogMismatchError):
            raise failure
        if failure is not None:
            raise DefinitionsTailError("the definitions could not be followed any longer") from failure
