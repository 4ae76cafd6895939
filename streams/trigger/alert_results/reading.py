"""What match tells of alerts, read where it is told: added up for windows, counted for event triggers.

Buckets, counters, what they fire and the position commit together, so each execution counts once however often
match tells it, and however the station is killed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from aiokafka import TopicPartition

from schemas.errors import DecodeError
from schemas.events.alert_result import AlertResultRecord, decode_alert_result
from schemas.topics import ALERT_RESULTS, Topic
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.faults import fault
from streams.runtime.loop import Batch, DeadLetters, StationLoop
from streams.runtime.positions import Positions
from streams.trigger.alert_results.counting import AlertEvents
from streams.trigger.alert_windows import store as window_store
from streams.trigger.alert_windows.folding import contributing, events, fold, sources, unread

_FORGET_EVERY: Final = timedelta(minutes=10)
_LOG_KEPT: Final = ALERT_RESULTS.retention or timedelta(0)


class AlertResults:
    """Reads ``alert-results`` for the trigger station."""

    def __init__(self, context: Context, name: str) -> None:
        self._context = context
        self._name = name
        self._loop: StationLoop | None = None
        self._stopped = False

    async def run(self) -> None:
        """Read until :meth:`stop`. Raises what the broker's client does while it is away."""
        broker = self._context.broker
        async with broker.producer() as producer:
            handler = ResultsHandler(self._context, DeadLetters(broker, producer, self._name), self._name)
            self._loop = StationLoop(broker, handler, batch_records=self._context.settings.batch_documents)
            if not self._stopped:
                await self._loop.run()

    def stop(self) -> None:
        """End :meth:`run` after the batch in hand."""
        self._stopped = True
        if self._loop is not None:
            self._loop.stop()


class ResultsHandler:
    """Adds up and counts a batch. A ``BatchHandler``."""

    topics: tuple[Topic, ...] = (ALERT_RESULTS,)

    def __init__(self, context: Context, dead_letters: DeadLetters, name: str) -> None:
        self.name = name
        self._clock = context.clock
        self._dead_letters = dead_letters
        self._window = timedelta(seconds=context.settings.event_id_window_seconds)
        self._positions = Positions(context, name)
        self._forgot_at: datetime | None = None
        self._events = AlertEvents()

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Behind what was added up and counted."""
        return await self._positions.assign(partitions)

    async def handle(self, batch: Batch) -> None:
        """Put bad records away, then commit buckets, counters and positions together."""
        left = self._positions.unread(batch)
        if not left:
            return
        results: list[AlertResultRecord] = []
        for found in left.values():
            for record in found:
                try:
                    results.append(_result(record.value))
                except DecodeError as error:
                    await self._dead_letters.put(record, error)
        async with self._positions.transaction({tp: found[-1] for tp, found in left.items()}) as connection:
            await self._add(connection, contributing(results))
            await self._events.count(connection, results, self._clock())
            await fault("trigger:before-fold-commit")
        await fault("trigger:after-fold-commit")

    async def _add(self, connection: Connection, results: Sequence[AlertResultRecord]) -> None:
        if not results:
            return
        fresh = unread(results, await window_store.next_offsets(connection, sources(results)))
        known = await window_store.claim_events(connection, events(fresh), self._window)
        await window_store.add(connection, fold(fresh, known))
        now = self._clock()
        if self._forgot_at is None or now - self._forgot_at >= _FORGET_EVERY:
            self._forgot_at = now
            await window_store.forget_events(connection, now - self._window - _LOG_KEPT)
            await window_store.forget_deleted(connection)


def _result(value: bytes | None) -> AlertResultRecord:
    result = decode_alert_result(value)
    # PostgreSQL has no text with a NUL: such a record would fail its whole batch, for ever.
    named = (
        result.namespace_id,
        result.collection_id,
        result.document_id,
        result.asset_id or "",
        *result.caused_by,
    )
    told = (text for one in result.contributions for text in (one.alert_id, one.series))
    if any("\x00" in text for text in (*named, *told)):
        raise DecodeError("an id of the alert result holds a NUL character")
    return result
