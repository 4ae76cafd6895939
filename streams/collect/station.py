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
from typing import Final

import psycopg
import structlog
from aiokafka import ConsumerRecord, TopicPartition

from schemas.errors import DecodeError
from schemas.events.happening import EventType
from schemas.topics import DOCUMENTS, Topic
from streams.collect import sketches, store
from streams.collect.arrivals import Collection, interleave, read_arrivals
from streams.collect.copying import write_ahead
from streams.collect.erasing import deletions
from streams.collect.feeding import Feeder, follow
from streams.collect.firing import counted, decide
from streams.collect.fold import Change, Folded, Known, fold
from streams.collect.parts import Entry, Part
from streams.collect.sketching import Cells, Places, SketchSpec, arrived, place, written
from streams.collect.standing import standing
from streams.collect.telling import TYPES, happenings
from streams.collect.watching import Watched, watch
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.engines.rules.events import EventState
from streams.runtime import metrics
from streams.runtime.agent import Context, StreamAgent
from streams.runtime.database import Connection
from streams.runtime.definitions import current_version, list_definitions
from streams.runtime.document_writes import settle_writes
from streams.runtime.erasure import note_erased
from streams.runtime.event_counters import lock_counters, save_counter
from streams.runtime.faults import fault
from streams.runtime.feeds import share_feeds
from streams.runtime.happenings import tell, wanted_types
from streams.runtime.jobs import queue_job
from streams.runtime.loop import Batch, DeadLetters, StationLoop
from streams.runtime.positions import Positions
from streams.runtime.together import together

log = structlog.get_logger(__name__)

BATCHES: Final = 4
"""Transactions in what the loop hands over at most."""
_ALL_NEW: Final = 8
"""Transactions in a row that added documents only, after which documents are no longer looked up before they are
stored: a stream that changes a document now and then does not pay for it twice."""
_TURN: Final = 64
"""Records read between two looks at the transaction under way."""
_FORGET_EVERY = timedelta(minutes=10)
_LOG_KEPT = DOCUMENTS.retention or timedelta(0)


def build(context: Context) -> StreamAgent:
    """The station, for the registry."""
    return Collect(context)


class Collect:
    """The station: one per worker."""

    name = "collect"
    topics: tuple[Topic, ...] = (DOCUMENTS,)

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings = context.settings
        self._embedder = HashingEmbedder()
        self._watched = Watched()
        self._told_of: set[EventType] = set()
        """Events that webhooks want."""
        self._version: tuple[str, int] | None = None
        self._positions = Positions(context, self.name)
        self._reconciled = False
        self._forgot_at = datetime.min.replace(tzinfo=UTC)
        self._dead_letters: DeadLetters | None = None
        self._loop: StationLoop | None = None
        self._feeder = Feeder(context.database)
        self._writing = asyncio.Event()
        """Set while there is time to read on: PostgreSQL writes the documents of a transaction."""
        self._all_new = 0
        """Transactions in a row that found none of their documents stored."""
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
        """Store a batch, a part of it a transaction. While PostgreSQL writes documents, the next are read. Records
        that can never be stored become dead letters."""
        await self._refresh()
        records = interleave(self._positions.unread(batch).values())
        part = await self._read(list(islice(records, self._settings.batch_documents)))
        while part.entries:
            self._writing.clear()
            storing = asyncio.create_task(self._store(part))
            try:
                await self._begun(storing)
                part = await self._read(list(islice(records, self._settings.batch_documents)))
            finally:
                await storing

    async def _begun(self, storing: asyncio.Task[None]) -> None:
        """Wait until a transaction has nothing left to do but to wait for PostgreSQL, or has ended."""
        writing = asyncio.create_task(self._writing.wait())
        try:
            await asyncio.wait((writing, storing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            writing.cancel()

    async def _read(self, records: Sequence[ConsumerRecord]) -> Part:
        entries: list[Entry] = []
        bad: list[tuple[ConsumerRecord, DecodeError]] = []
        for start in range(0, len(records), _TURN):
            turn = records[start : start + _TURN]
            read = read_arrivals(turn)
            write_ahead([one for one in read if not isinstance(one, DecodeError)])
            for record, one in zip(turn, read, strict=True):
                if isinstance(one, DecodeError):
                    bad.append((record, one))
                    entries.append(Entry(record, None))
                else:
                    entries.append(Entry(record, one))
            # The transaction under way goes on.
            await asyncio.sleep(0)
        if bad:
            assert self._dead_letters is not None
            await self._dead_letters.put_all(bad)
        return Part.of(entries)

    async def _put_away(self, record: ConsumerRecord, error: Exception) -> Part:
        assert self._dead_letters is not None
        await self._dead_letters.put(record, error)
        return Part.of([Entry(record, None)])

    async def _store(self, part: Part) -> None:
        """Store a part in one transaction. When PostgreSQL refuses a value (a NUL character, a vector of more
        dimensions than it can hold, a key too long for its index), halve until the record is found."""
        try:
            await self._commit(part)
        except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
            if len(part.entries) > 1:
                for half in part.halves():
                    await self._store(half)
                return
            if not part.arrivals:
                # Not the record's doing, then.
                raise
            await self._commit(await self._put_away(part.entries[0].record, error))

    async def _commit(self, part: Part) -> None:
        if self._all_new < _ALL_NEW or not part.may_all_be_new:
            await self._transact(part, look_up=True)
            return
        try:
            await self._transact(part, look_up=False)
        except psycopg.errors.UniqueViolation:
            self._all_new = 0
            await self._transact(part, look_up=True)

    async def _transact(self, part: Part, *, look_up: bool) -> None:
        async with self._positions.transaction(part.last) as connection:
            fires = await self._write(connection, part, look_up=look_up) if part.arrivals else 0
            await settle_writes(connection, part.settled)
            await fault("collect:before-commit")
        await fault("collect:after-commit")
        if fires:
            metrics.TRIGGER_FIRES.labels("event").inc(fires)

    async def _write(self, connection: Connection, part: Part, *, look_up: bool) -> int:
        await share_feeds(connection)
        created = await store.created_at(connection, part.keys) if look_up else {}
        self._all_new = 0 if created else self._all_new + 1
        known = Known(
            created=created,
            seen=await store.claim_events(connection, part.events),
            watermarks=await store.watermarks(connection, part.scopes),
            standing=await standing(connection, part.changed) if part.changed else {},
        )
        folded = fold(
            part.arrivals,
            known,
            lateness=timedelta(seconds=self._settings.allowed_lateness_seconds),
            window=timedelta(seconds=self._settings.event_id_window_seconds),
            patience=self._watched.lateness,
        )
        renewed = {
            key: moment for key, moment in folded.seen.items() if key in known.seen or moment != part.events[key]
        }
        if renewed:
            await store.renew_events(connection, renewed)
        # Before the documents: what is seeded must not hold what the batch adds.
        await self._sketch(connection, folded)
        self._writing.set()
        await store.write_documents(connection, folded, created if look_up else None)
        await follow(connection, folded)
        await store.write_tallies(connection, folded.tallies)
        await note_erased(connection, deletions(part.arrivals))
        if self._told_of:
            await tell(connection, happenings(folded.changes, self._told_of))
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
            places = Places(map(place, changes))
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
                self._told_of = await wanted_types(connection, TYPES)
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
