"""match: checks each document against every standing alert of its collection.

Results are produced and acknowledged before progress is, and progress before the position is committed to
Kafka: a crash anywhere in between makes the same records again, with the same ids (design sections 1 and 3). The
next documents do not wait for progress and commit.

Kafka's commit says where match goes on. Ids are made from positions in the log, so another log under the same name
would give other documents the same ids: match also writes down in PostgreSQL what it read last, and stops when
the log does not hold it. That row may be a batch behind the commit or ahead of it; either is true of the log.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import psycopg
import structlog
from aiokafka import ConsumerRecord, TopicPartition

from schemas.events.definition import DefinitionRecord
from schemas.headers import DEFINITIONS_VERSION
from schemas.ids import ExecutionHasher
from schemas.topics import DOCUMENTS, MATCH_PROGRESS, RETRIEVER_EXECUTIONS, Topic
from streams.match.arrivals import Arrival, read_arrivals
from streams.match.lookups import Answers, LookUps
from streams.match.matching import Matcher, Percolation, Undecided
from streams.match.parts import divided, put_off
from streams.match.progress import Progress
from streams.match.references import References
from streams.match.results import result_of
from streams.match.sending import ResultSender
from streams.match.standings import Standings
from streams.match.versions import VersionGate
from streams.runtime import metrics
from streams.runtime.agent import Context, StreamAgent
from streams.runtime.broker import Sends
from streams.runtime.commits import Last
from streams.runtime.database import StoredPosition, note_positions, stored_positions
from streams.runtime.definitions_tail import DefinitionsTail
from streams.runtime.failure import Disposition, LogMismatchError, classify
from streams.runtime.faults import fault
from streams.runtime.identity import check_log
from streams.runtime.loop import Batch, DeadLetters, StationLoop

log = structlog.get_logger(__name__)

CHUNK = 512
"""Documents between two turns of the event loop; also what one matrix product takes."""
BATCHES = 4
"""Match takes so many times the records of other stations in a batch: it holds no transaction, and the
acknowledgements that a batch waits for at its end take as long however large it is."""
LOOK_UP_SECONDS = 30.0
"""After this a batch ends where its look-ups have got to: a tenth of what the group waits for its member."""


def build(context: Context) -> StreamAgent:
    """The station, for the registry."""
    return Match(context)


@dataclass(slots=True)
class _Matching:
    """A batch in hand."""

    until: float
    """When the monotonic clock shows this, no more documents are looked up."""
    progress: Progress = field(default_factory=Progress)
    executions: int = 0
    left: dict[int, int] = field(default_factory=dict)
    """Partition → first offset that was not done."""


class DefinitionsTailError(RuntimeError):
    """The tail of definitions ended: going on would match by definitions that grow old unnoticed."""


class Match:
    """The station: one per worker."""

    name = "match"
    topics: tuple[Topic, ...] = (DOCUMENTS,)

    def __init__(self, context: Context) -> None:
        self._context = context
        self._tail = DefinitionsTail(context.broker, context.database, self._changed)
        self._standings = Standings(lambda: self._tail.catalog)
        self._matcher = Matcher(self._standings, lambda: self._tail.catalog, context.clock)
        self._references = References(context.broker)
        self._look_ups = LookUps(self._references, lambda: self._tail.catalog, context.clock)
        self._gate = VersionGate(self._tail, context.database, context.settings.definitions_wait_seconds)
        self._progress_topic = context.broker.topic(MATCH_PROGRESS)
        self._runs_topic = context.broker.topic(RETRIEVER_EXECUTIONS)
        self._sender = ResultSender(context.broker)
        self._hasher = ExecutionHasher("")
        self._progress = Progress()
        """What has not been told."""
        self._version = 0
        """Of the definitions that were in force for it."""
        self._producer: Any = None
        self._dead_letters: DeadLetters | None = None
        self._loop: StationLoop | None = None
        self._stopping = False

    async def run(self) -> None:
        """Match until :meth:`stop`."""
        broker = self._context.broker
        async with AsyncExitStack() as stack:
            await self._tail.start()
            stack.push_async_callback(self._tail.stop)
            stack.callback(self._matcher.close)
            stack.push_async_callback(self._references.stop)
            stack.callback(self._look_ups.close)
            self._standings.prepare()
            self._hasher = ExecutionHasher(self._tail.catalog.epoch)
            producer = self._producer = broker.producer()
            await producer.start()
            stack.push_async_callback(producer.stop)
            stack.push_async_callback(self._sender.stop)
            await self._sender.start()
            self._dead_letters = DeadLetters(broker, producer, self.name)
            self._loop = StationLoop(broker, self, batch_records=BATCHES * self._context.settings.batch_documents)
            if self._stopping:
                self._loop.stop()
            await self._loop.run()

    def stop(self) -> None:
        """Finish the batch in hand and return from :meth:`run`."""
        self._stopping = True
        if self._loop is not None:
            self._loop.stop()

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """None: match goes on where its group committed. Raises :class:`LogMismatchError` when the log is not
        the one it has read."""
        async with self._context.database.connection() as connection:
            stored = await stored_positions(connection, self.name, self._context.broker.topic(DOCUMENTS))
        known = {tp: stored[tp.partition] for tp in partitions if tp.partition in stored}
        await check_log(self._context.broker, self.name, partitions, known)
        return {}

    async def idle(self) -> None:
        """Between batches: take in what came to reference collections."""
        self._check_tail()
        self._references.want(self._standings.references())
        await self._references.follow()

    async def handle(self, batch: Batch) -> Batch:
        """Match a batch, or as much of it as look-ups leave time for. When this returns, results of what was
        matched are with the broker. Returns the rest; some results of it may be there already."""
        self._check_tail()
        await self._gate.reach(_versions(batch))
        version = self._tail.catalog.version
        self._sender.begin()
        matching = _Matching(time.monotonic() + LOOK_UP_SECONDS)
        ahead: tuple[list[Arrival], Percolation] | None = None
        for chunk in _chunks(batch):
            if not matching.left:
                decoded = await self._read(chunk)
                # While a chunk is percolated, the results of the one before are written and the next is decoded.
                percolation = await self._matcher.percolate(decoded)
                if ahead is not None:
                    await self._send(*ahead, matching)
                ahead = decoded, percolation
            if matching.left:
                if ahead is not None:
                    await self._matcher.finished(ahead[1])
                    ahead = None
                put_off(matching.left, chunk)
        if ahead is not None:
            await self._send(*ahead, matching)
        await self._sender.acknowledged()
        await fault("match:after-produce")
        metrics.EXECUTIONS.inc(matching.executions)
        self._progress.include(matching.progress)
        self._version = version
        return divided(batch, matching.left)[1]

    async def settle(self, last: Last) -> None:
        """Tell how far it has come, now that the results are with the broker."""
        progress, self._progress = self._progress, Progress()
        try:
            await asyncio.gather(self._tell_progress(last, progress, self._version), self._note(last))
        except BaseException:
            progress.include(self._progress)
            self._progress = progress
            raise

    async def _send(self, arrivals: Sequence[Arrival], percolation: Percolation, matching: "_Matching") -> None:
        """Hand the results of a chunk to the producer."""
        matched = await self._matcher.matched(percolation, self._hasher)
        results = matched.results
        if matched.undecided:
            answers = await self._look_up(matched.undecided, matching.until)
            results = [*results, *map(result_of, answers.records)]
            if left := answers.left:
                matching.left = left
                arrivals = [one for one in arrivals if one.offset < left.get(one.partition, one.offset + 1)]
        matching.progress.add(arrivals)
        await self._sender.add(results)
        await asyncio.sleep(0)
        matching.executions += sum(result.executions for result in results)

    async def _look_up(self, undecided: Sequence[Undecided], until: float) -> Answers:
        """The results of documents that need others. Executions of look-ups are with the broker when this
        returns, so that whoever has a result finds its execution."""
        self._references.want(self._standings.references())
        await self._references.catch_up()
        answers = await self._look_ups.answer(undecided, self._hasher, until)
        sends = Sends(self._producer)
        for run in answers.runs:
            await sends.send(self._runs_topic, run.key, run.encode())
        await sends.acknowledged()
        return answers

    def _changed(self, record: DefinitionRecord) -> None:
        for collection, changes in self._standings.change(record):
            self._matcher.change(collection, changes)
        if record.kind == "collection" and not record.deleted:
            self._standings.prepare(record)

    async def _read(self, records: Sequence[ConsumerRecord]) -> list[Arrival]:
        """Decode records; those that can never be decoded become dead letters."""
        assert self._dead_letters is not None
        arrivals, bad = read_arrivals(records)
        if bad:
            await self._dead_letters.put_all(bad)
        return arrivals

    async def _tell_progress(self, last: Last, progress: Progress, version: int) -> None:
        ends = {tp.partition: record.offset + 1 for tp, record in last.items()}
        sends = Sends(self._producer)
        for reached in progress.records(ends, version):
            await sends.send(self._progress_topic, reached.key, reached.encode())
        await sends.acknowledged()

    async def _note(self, last: Last) -> None:
        """Write down what was read last. The batches are done without it: a database that is away now is no
        reason to make their results again."""
        reached = {
            tp: StoredPosition(record.offset + 1, record.timestamp, record.key) for tp, record in last.items()
        }
        try:
            async with self._context.database.connection() as connection:
                await note_positions(connection, self.name, reached)
        except psycopg.Error as error:
            if classify(error) is not Disposition.RETRY:
                raise
            log.warning("position_not_noted", error=str(error))

    def _check_tail(self) -> None:
        failure = self._tail.failure
        if isinstance(failure, LogMismatchError):
            raise failure
        if failure is not None:
            raise DefinitionsTailError("the definitions could not be followed any longer") from failure


def _chunks(batch: Batch) -> Iterator[list[ConsumerRecord]]:
    records = chain.from_iterable(batch.values())
    while chunk := list(islice(records, CHUNK)):
        yield chunk


def _versions(batch: Batch) -> set[str]:
    """What the writers of a batch's records say they saw."""
    found = {
        value
        for records in batch.values()
        for record in records
        for name, value in record.headers
        if name == DEFINITIONS_VERSION and value is not None
    }
    return {value.decode(errors="replace") for value in found}
