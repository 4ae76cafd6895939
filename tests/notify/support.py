"""What notify's tests share: results, alerts, a real HTTP receiver, a clock to turn, a running station."""

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from schemas.events.alert_result import AlertHit, AlertResultRecord, encode_alert_result
from schemas.events.notification import DeliveryRecord
from schemas.ids import ExecutionHasher, document_key, execution_id
from schemas.topics import ALERT_RESULTS, NOTIFICATIONS
from streams.notify.station import Notify
from streams.runtime.agent import Context
from streams.runtime.broker import Sends
from streams.runtime.definitions import delete_definition, put_definition
from tests.support import at_work, eventually

NAMESPACE = "ns_1"
AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def hit(number: int = 1, alert_id: str = "alt_1", score: float = 0.75) -> AlertHit:
    """One alert that fired."""
    return AlertHit(number, alert_id, 1, "ret_1", score, "score 0.75 is at least 0.5", {"words": 0.75})


def result(
    offset: int = 0, *hits: AlertHit, at: datetime = AT, document: str = "doc_1", event_id: str | None = None
) -> AlertResultRecord:
    """What a document at ``offset``, appended at ``at``, set off."""
    return AlertResultRecord(
        base=ExecutionHasher("epoch").base(NAMESPACE, event_id, "documents", 0, offset),
        namespace_id=NAMESPACE,
        collection_id="col_1",
        document_id=document,
        source_topic="documents",
        source_partition=0,
        source_offset=offset,
        appended_at=at,
        occurred_at=at,
        executed_at=at,
        duration_ms=3,
        definitions_version=1,
        hits=hits or (hit(),),
        keyed=event_id is not None,
        document={"text": "hello", "document_id": document},
    )


class TurnedClock:
    """A clock that stands until somebody turns it."""

    def __init__(self, now: datetime = AT) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Received:
    """One request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: bytes


Answer = Callable[[Received], Awaitable[web.Response]]


@dataclass
class Receiver:
    """A webhook endpoint that keeps what it got and answers as told."""

    url: str = ""
    requests: list[Received] = field(default_factory=list)
    answer: Answer | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Keep the request, then answer."""
        received = Received(request.path, {k.lower(): v for k, v in request.headers.items()}, await request.read())
        self.requests.append(received)
        return web.Response() if self.answer is None else await self.answer(received)

    def answers(self, *responses: tuple[int, Mapping[str, str]]) -> None:
        """Answer with these in turn, the last for ever."""
        given: list[tuple[int, Mapping[str, str]]] = list(responses)

        async def answer(_: Received) -> web.Response:
            status, headers = given.pop(0) if len(given) > 1 else given[0]
            return web.Response(status=status, headers=headers)

        self.answer = answer

    async def count(self, number: int, timeout: float = 20) -> None:
        """Wait for so many requests."""

        async def enough() -> bool:
            return len(self.requests) >= number

        await eventually(enough, timeout, what=f"{number} requests")


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a port of its own."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def allowing(
    context: Context, clock: TurnedClock | None = None, *, private: bool = True, instance: str | None = None
) -> Context:
    """The context with private webhooks allowed (or not) and perhaps another clock. With the ``instance``
    of a worker that died, the group takes it in again at once."""
    settings = context.settings.model_copy(update={"allow_private_webhooks": private, "instance": instance})
    return dataclasses.replace(context, settings=settings, clock=clock or context.clock)


def notifying(context: Context) -> AbstractAsyncContextManager[Notify]:
    """A running station."""
    return at_work(Notify(context))


async def put_alert(context: Context, alert_id: str, *channels: Mapping[str, Any], **fields: Any) -> int:
    """Create or replace an alert; returns its number."""
    body: dict[str, Any] = {"alert_id": alert_id, "name": f"name of {alert_id}", "enabled": True, **fields}
    if channels:
        body["notification_config"] = {"channels": list(channels), **fields.get("config", {})}
    async with context.database.transaction() as connection:
        stored = await put_definition(connection, "alert", NAMESPACE, alert_id, body["name"], body)
    return stored.record.number


async def drop_alert(context: Context, alert_id: str) -> None:
    """Delete an alert."""
    async with context.database.transaction() as connection:
        assert await delete_definition(connection, "alert", NAMESPACE, alert_id)


def webhook(url: str, **config: Any) -> dict[str, Any]:
    """A webhook channel."""
    return {"channel_type": "webhook", "config": {"url": url, **config}}


async def publish(context: Context, results: Sequence[AlertResultRecord]) -> None:
    """Put results on their topic."""
    producer = context.broker.producer()
    await producer.start()
    try:
        sends = Sends(producer)
        for item in results:
            key = document_key(item.namespace_id, item.collection_id, item.document_id)
            await sends.send(context.broker.topic(ALERT_RESULTS), key, encode_alert_result(item))
        await sends.acknowledged()
    finally:
        await producer.stop()


def id_of(item: AlertResultRecord, index: int = 0) -> str:
    """The execution id of one hit."""
    return execution_id(item.base, item.hits[index].alert_number)


async def deliveries(context: Context) -> list[tuple[str, int, str, int, str | None]]:
    """Execution, channel, state, attempts and error of every delivery row."""
    async with context.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT execution_id, channel_index, state, attempts, last_error FROM deliveries ORDER BY 1, 2"
        )
        rows = await cursor.fetchall()
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


async def until_state(context: Context, state: str, attempts: int, count: int = 1) -> None:
    """Wait until ``count`` delivery rows are in ``state`` after so many attempts."""

    async def reached() -> object:
        rows = await deliveries(context)
        return sum(row[2:4] == (state, attempts) for row in rows) == count or None

    await eventually(reached, what=f"{count} deliveries {state} after {attempts} attempts")


async def notices(context: Context) -> list[DeliveryRecord]:
    """The delivery records queued for ``notifications``, in order."""
    async with context.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT key, value FROM outbox WHERE topic = %s ORDER BY id", (NOTIFICATIONS.name,)
        )
        rows = await cursor.fetchall()
    records = [DeliveryRecord.decode(row[1]) for row in rows]
    assert [record.key for record in records] == [row[0] for row in rows]
    return records


async def position(context: Context) -> int:
    """Results decided so far, over all partitions."""
    async with context.database.connection() as connection:
        cursor = await connection.execute("SELECT sum(next_offset) FROM positions WHERE station = 'notify'")
        row = await cursor.fetchone()
    return int(row[0] or 0) if row else 0


async def until_decided(context: Context, count: int) -> None:
    """Wait until ``count`` results are decided."""

    async def decided() -> bool:
        return await position(context) >= count

    await eventually(decided, what=f"{count} results decided")


async def state_of(context: Context, alert_id: str) -> tuple[datetime | None, int] | None:
    """``last_fired_at`` and ``suppressed`` of an alert."""
    async with context.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT last_fired_at, suppressed FROM alert_notify_state WHERE namespace_id = %s AND alert_id = %s",
            (NAMESPACE, alert_id),
        )
        row = await cursor.fetchone()
    return None if row is None else (row[0], row[1])
