"""notify: alert-results → delivery rows (one transaction with the position) → webhooks, signed and retried.

Two halves share the station: the decider below, a ``BatchHandler``, writes rows; the sender (``sender.py``)
works them off. Between them there is only the table, so nothing decided is lost and nothing is decided twice.
"""

from collections.abc import Mapping, Sequence

from aiokafka import TopicPartition

from schemas.errors import DecodeError
from schemas.events.alert_result import AlertResultRecord, decode_alert_result
from schemas.topics import ALERT_RESULTS, Topic
from streams.notify.events import happenings_of
from streams.notify.plan import AlertKey, plan
from streams.notify.sender import Sender
from streams.notify.store import load_policies, lock_states, planned_executions, write_plan
from streams.notify.webhook import Webhooks
from streams.runtime.agent import Context, StreamAgent
from streams.runtime.database import Connection
from streams.runtime.faults import fault
from streams.runtime.happenings import tell, wanted_types
from streams.runtime.loop import Batch, DeadLetters, StationLoop
from streams.runtime.positions import Positions
from streams.runtime.together import together

NAME = "notify"


class Decider:
    """Turns results into delivery rows. A ``BatchHandler``."""

    name = NAME
    topics: tuple[Topic, ...] = (ALERT_RESULTS,)

    def __init__(self, context: Context, dead_letters: DeadLetters, sender: Sender) -> None:
        self._context = context
        self._dead_letters = dead_letters
        self._sender = sender
        self._positions = Positions(context, NAME)

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Behind what was decided; the beginning of a log nothing was decided of, whatever the group committed."""
        return await self._positions.assign(partitions)

    async def handle(self, batch: Batch) -> None:
        """Put bad records away, then commit rows, states and positions together."""
        unread = self._positions.unread(batch)
        if not unread:
            return
        results: list[AlertResultRecord] = []
        for records in unread.values():
            for record in records:
                try:
                    results.append(_result(record.value))
                except DecodeError as error:
                    await self._dead_letters.put(record, error)
        # Those without hits only say what a document adds to windows, which is for the trigger station.
        results = [result for result in results if result.hits]
        async with self._positions.transaction({tp: records[-1] for tp, records in unread.items()}) as connection:
            if results:
                await self._decide(connection, results)
            await fault("notify:before-commit")
        self._sender.wake()

    async def _decide(self, connection: Connection, results: Sequence[AlertResultRecord]) -> None:
        now = self._context.clock()
        alerts: set[AlertKey] = {(result.namespace_id, hit.alert_id) for result in results for hit in result.hits}
        executions = [execution_id for result in results for execution_id, _ in result.executions()]
        policies = await load_policies(connection, alerts)
        states = await lock_states(connection, {key for key, alert in policies.items() if alert.enabled})
        planned = await planned_executions(connection, executions)
        await write_plan(connection, plan(results, policies, states, planned, now), now)
        if await wanted_types(connection, ("alert.triggered", "alert.execution.completed")):
            await tell(connection, list(happenings_of(results, policies)))


def _result(value: bytes | None) -> AlertResultRecord:
    result = decode_alert_result(value)
    # PostgreSQL has no text with a NUL: such a record would fail its whole batch, for ever.
    if any("\x00" in text for text in (result.namespace_id, *(hit.alert_id for hit in result.hits))):
        raise DecodeError("an id of the alert result holds a NUL character")
    return result


class Notify:
    """The station as a stream agent."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stopped = False
        self._loop: StationLoop | None = None
        self._sender: Sender | None = None

    async def run(self) -> None:
        """Decide and send until :meth:`stop`."""
        settings, broker = self._context.settings, self._context.broker
        producer = broker.producer()
        await producer.start()
        try:
            async with Webhooks(allow_private=settings.allow_private_webhooks) as webhooks:
                self._sender = Sender(self._context, webhooks)
                decider = Decider(self._context, DeadLetters(broker, producer, NAME), self._sender)
                self._loop = StationLoop(broker, decider, batch_records=settings.batch_documents)
                if not self._stopped:
                    await together(notify=self._loop.run(), sender=self._sender.run())
        finally:
            await producer.stop()

    def stop(self) -> None:
        """End after the batch in hand and a moment for attempts in flight."""
        self._stopped = True
        if self._loop is not None:
            self._loop.stop()
        if self._sender is not None:
            self._sender.stop()


def build(context: Context) -> StreamAgent:
    """The station, not yet running."""
    return Notify(context)
