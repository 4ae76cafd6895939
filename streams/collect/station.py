"""collect: stores documents, counts them, merges drift sketches, fires event triggers and feeds ``references``.

Everything a batch means is one transaction: documents and their vectors, counters, event ids, sketches, trigger
counters, commands and reference documents in the outbox, and the position, moved by compare-and-set. A crash
leaves all of it or none; a worker that lost its partition is refused and rolls back (design sections 1 and 3).
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

import psycopg
import structlog
from aiokafka import ConsumerRecord, TopicPartition

from schemas.errors import DecodeError
from schemas.events.document import WATERMARK
from schemas.topics import DOCUMENTS, Topic
from streams.collect import sketches, store
from streams.collect.arrivals import Arrival, Collection, EventKey, interleave, read_arrival
from streams.collect.feeding import Feeder, follow
from streams.collect.firing import counted, decide
from streams.collect.fold import Change, Folded, Known, fold
from streams.collect.sketching import Cells, SketchSpec, arrived, place, written
from streams.collect.standing import standing
from streams.collect.watching import Watched, watch
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.engines.rules.events import EventState
from streams.runtime import metrics
from streams.runtime.agent import Context, StreamAgent
from streams.runtime.database import Connection
from streams.runtime.definitions import current_version, list_definitions
from streams.runtime.event_counters import lock_counters, save_counter
from streams.runtime.faults import fault
from streams.runtime.feeds import share_feeds
from streams.runtime.jobs import queue_job
from streams.runtime.loop import Batch, DeadLetters, StationLoop
from streams.runtime.positions import Positions
from streams.runtime.together import together

log = structlog.get_logger(__name__)

BATCHES: Final = 4
"""Transactions in what the loop hands over at most."""
_TURN: Final = 100
"""Records decoded between two looks at the transaction under way."""
_FORGET_EVERY = timedelta(minutes=10)
_LOG_KEPT = DOCUMENTS.retention or timedelta(0)


def build(context: Context) -> StreamAgent:
    """The station, for the registry."""
    return Collect(context)


class Entry(NamedTuple):
    """A record in hand; without an arrival it is only passed over."""

    record: ConsumerRecord
    arrival: Arrival | None


class Collect:
    """The station: one per worker."""

    name = "collect"
    topics: tuple[Topic, ...] = (DOCUMENTS,)

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings = context.settings
        self._embedder = HashingEmbedder()
        self._watched = Watched()
        self._version: tuple[str, int] | None = None
        self._positions = Positions(context, self.name)
        self._reconciled = False
        self._forgot_at = datetime.min.replace(tzinfo=UTC)
        self._dead_letters: DeadLetters | None = None
        self._loop: StationLoop | None = None
        self._feeder = Feeder(context.database)
        self._stopping = False

    async def run(self) -> None:
        """Collect until :meth:`stop`."""
        broker = self._context.broker
        async with AsyncExitStack() as stack:
            producer = broker.producer()
            await producer.start()
            stack.push_async_callback(producer.stop)
            self._dead_letters = DeadLetters(broker, producer, self.name)
            self._loop = StationLoop(broker, self, batch_records=BATCHES * self._settings.batch_documents)
            if self._stopping:
                self._loop.stop()
            await together(collect=self._loop.run(), feeder=self._feeder.run())

    def stop(self) -> None:
        """Finish the batch in hand and return from :meth:`run`."""
        self._stopping = True
        self._feeder.stop()
        if self._loop is not None:
            self._loop.stop()

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The stored positions; sketches are seen to before the next batch."""
        found = await self._positions.assign(partitions)
        self._reconciled = False
        return found

    async def idle(self) -> None:
        """Between batches: follow the trigger definitions."""
        await self._refresh()

    async def handle(self, batch: Batch) -> None:
        """Store a batch, a part of it a transaction; while one is under way the next is decoded. Records that can
        never be stored become dead letters."""
        await self._refresh()
        storing: asyncio.Task[None] | None = None
        records = interleave(self._positions.unread(batch).values())
        try:
            while part := list(islice(records, self._settings.batch_documents)):
                entries = await self._read(part)
                if storing is not None:
                    await storing
                storing = asyncio.create_task(self._store(entries))
        finally:
            if storing is not None:
                await storing

    async def _read(self, records: Sequence[ConsumerRecord]) -> list[Entry]:
        entries: list[Entry] = []
        bad: list[tuple[ConsumerRecord, DecodeError]] = []
        for number, record in enumerate(records):
            arrival = None
            try:
                arrival = read_arrival(
                    record.partition, record.offset, record.timestamp, record.key, record.value, record.headers
                )
            except DecodeError as error:
                bad.append((record, error))
            entries.append(Entry(record, arrival))
            if number % _TURN == 0:
                # The transaction under way goes on.
                await asyncio.sleep(0)
        if bad:
            assert self._dead_letters is not None
            await self._dead_letters.put_all(bad)
        return entries

    async def _put_away(self, record: ConsumerRecord, error: Exception) -> Entry:
        assert self._dead_letters is not None
        await self._dead_letters.put(record, error)
        return Entry(record, None)

    async def _store(self, entries: list[Entry]) -> None:
        """Store entries in one transaction. When PostgreSQL refuses a value (a NUL character, a vector of more
        dimensions than it can hold, a key too long for its index), halve until the record is found."""
        try:
            await self._commit(entries)
        except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
            if len(entries) > 1:
                middle = len(entries) // 2
                await self._store(entries[:middle])
                await self._store(entries[middle:])
                return
            if entries[0].arrival is None:
                # Not the record's doing, then.
                raise
            await self._commit([await self._put_away(entries[0].record, error)])

    async def _commit(self, entries: list[Entry]) -> None:
        arrivals = [entry.arrival for entry in entries if entry.arrival is not None]
        last = {entry.record.partition: entry.record for entry in entries}
        moves = {TopicPartition(record.topic, partition): record for partition, record in last.items()}
        async with self._positions.transaction(moves) as connection:
            fires = await self._write(connection, arrivals) if arrivals else 0
            await fault("collect:before-commit")
        await fault("collect:after-commit")
        if fires:
            metrics.TRIGGER_FIRES.labels("event").inc(fires)

    async def _write(self, connection: Connection, arrivals: list[Arrival]) -> int:
        await share_feeds(connection)
        first: dict[EventKey, datetime] = {}
        for arrival in arrivals:
            key = arrival.event_key
            if key is not None and arrival.event.type != WATERMARK:
                first.setdefault(key, arrival.appended_at)
        known = Known(
            created=await store.created_at(connection, {arrival.key for arrival in arrivals}),
            seen=await store.claim_events(connection, first),
            watermarks=await store.watermarks(connection, {arrival.scope for arrival in arrivals}),
            standing=await standing(
                connection, {arrival.key for arrival in arrivals if arrival.made_from is not None}
            ),
        )
        folded = fold(
            arrivals,
            known,
            lateness=timedelta(seconds=self._settings.allowed_lateness_seconds),
            window=timedelta(seconds=self._settings.event_id_window_seconds),
            patience=self._watched.lateness,
        )
        renewed = {key: moment for key, moment in folded.seen.items() if key in known.seen or moment != first[key]}
        if renewed:
            await store.renew_events(connection, renewed)
        # Before the documents: what is seeded must not hold what the batch adds.
        await self._sketch(connection, folded)
        await store.write_documents(connection, folded, known.created)
        await follow(connection, folded)
        await store.write_tallies(connection, folded.tallies)
        return await self._fire(connection, folded)

    async def _sketch(self, connection: Connection, folded: Folded) -> None:
        collections = {scope[:2] for scope in folded.tallies}
        positions = {tp.partition: offset for tp, offset in self._positions.items()}
        touched = {scope[2]: positions[scope[2]] for scope in folded.tallies}
        specs = [spec for collection in collections for spec in self._watched.specs.get(collection, ())]
        await sketches.reconcile(connection, specs, touched, collections)
        cells: Cells = {}
        for collection in collections:
            by_feature: dict[str, list[SketchSpec]] = {}
            for spec in self._watched.specs.get(collection, ()):
                by_feature.setdefault(spec.feature, []).append(spec)
            changes = self._arrived(folded, collection) if by_feature else []
            places = [place(change) for change in changes]
            for group in by_feature.values():
                measuring = sketches.Measuring(connection, group, self._embedder)
                cells.update(await measuring.cells(*written(group[0], places, changes)))
        if cells:
            await sketches.merge_cells(connection, cells)

    def _arrived(self, folded: Folded, collection: Collection) -> list[Change]:
        return arrived(folded.changes, collection, self._watched.conditional.get(collection, frozenset()))

    async def _fire(self, connection: Connection, folded: Folded) -> int:
        found = counted(self._watched, folded.changes)
        if not found:
            return 0
        fires = 0
        now = self._context.clock()
        for trigger_id, counter in (await lock_counters(connection, found)).items():
            trigger, arrivals = found[trigger_id]
            state, commands = decide(trigger, EventState(*counter), arrivals, now)
            await save_counter(connection, trigger_id, (state.counter, state.fire_sequence, state.fired_at))
            for command in commands:
                fires += await queue_job(connection, command)
        return fires

    async def _refresh(self) -> None:
        """Read the trigger definitions when any definition has changed, and see to the sketches they ask for.

        They are read from the database, not from the topic, so a trigger counts every document that was published
        after the call that made it answered, however far behind the topic is.
        """
        database = self._context.database
        async with database.connection() as connection:
            version = await current_version(connection)
            if self._version != (version.epoch, version.number):
                definitions = [
                    stored.record
                    for kind in ("trigger", "cluster_trigger")
                    for stored in await list_definitions(connection, kind)
                ]
                self._watched = watch(definitions)
                for trigger_id, reason in self._watched.broken.items():
                    log.warning("trigger_not_watched", trigger_id=trigger_id, error=reason)
                self._version = (version.epoch, version.number)
                self._reconciled = False
        if not self._reconciled:
            await self._reconcile()
        await self._forget()

    async def _reconcile(self) -> None:
        """Seed and drop sketches in every partition in hand, also in those that get no documents."""
        specs = [spec for found in self._watched.specs.values() for spec in found]
        async with self._context.database.transaction() as connection:
            cursor = await connection.execute(
                "SELECT partition, next_offset FROM positions WHERE station = %s AND topic = %s"
                " AND partition = ANY(%s) ORDER BY partition FOR UPDATE",
                (
                    self.name,
                    self._context.broker.topic(DOCUMENTS),
                    [tp.partition for tp in self._positions],
                ),
            )
            # The stored positions, not ours: whoever owns the partition, its seed says what is stored.
            await sketches.reconcile(connection, specs, dict(await cursor.fetchall()))
        self._reconciled = True

    async def _forget(self) -> None:
        """Now and then, forget event ids that no record still in the log can repeat."""
        now = self._context.clock()
        if now - self._forgot_at < _FORGET_EVERY:
            return
        self._forgot_at = now
        window = timedelta(seconds=self._settings.event_id_window_seconds)
        async with self._context.database.connection() as connection:
            await store.forget_events(connection, now - window - _LOG_KEPT)
