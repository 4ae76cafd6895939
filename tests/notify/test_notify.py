"""The station on a real broker, a real database and a real receiver."""

import asyncio
import base64
import hashlib
import hmac
from datetime import timedelta

import orjson
import pytest
from aiohttp import web
from aiokafka import ConsumerRecord, TopicPartition

from schemas.events.alert_result import encode_alert_result
from schemas.topics import ALERT_RESULTS, DEAD_LETTERS
from streams.notify.retry import delay_seconds
from streams.notify.sender import Sender
from streams.notify.station import NAME, Decider
from streams.notify.webhook import Webhooks
from streams.runtime.agent import Context
from streams.runtime.broker import Sends
from streams.runtime.loop import DeadLetters
from streams.runtime.secrets import store_secret
from tests.log import read_topic
from tests.notify.support import (
    AT,
    NAMESPACE,
    Received,
    TurnedClock,
    allowing,
    deliveries,
    drop_alert,
    hit,
    id_of,
    notices,
    notifying,
    position,
    publish,
    put_alert,
    receiving,
    result,
    state_of,
    until_decided,
    until_state,
    webhook,
)
from tests.support import eventually
from tests.victim import killed

SECRET = "whsec_" + base64.b64encode(b"a key of the receiver's own").decode()
INSTANCE = "worker"


async def _stored_secret(context: Context, plain: str) -> dict[str, str]:
    async with context.database.transaction() as connection:
        return {"$secret": await store_secret(connection, context.settings.secret_key, NAMESPACE, plain)}


def _verified(received: Received) -> bool:
    """What a receiver does, from the specification and not from our code."""
    message = b".".join(
        [received.headers["webhook-id"].encode(), received.headers["webhook-timestamp"].encode(), received.body]
    )
    digest = hmac.digest(b"a key of the receiver's own", message, hashlib.sha256)
    return received.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


async def test_an_execution_is_delivered_signed_and_recorded(context: Context) -> None:
    async with receiving() as receiver, notifying(allowing(context)):
        channel = webhook(
            receiver.url + "/in",
            signing_secret=await _stored_secret(context, SECRET),
            headers={"Authorization": await _stored_secret(context, "Bearer x"), "X-Plain": "y"},
        )
        await put_alert(context, "alt_1", channel)
        item = result()
        await publish(context, [item])
        await until_state(context, "delivered", 1)
    (received,) = receiver.requests
    assert _verified(received)
    assert received.headers["webhook-id"] == f"{id_of(item)}_0"
    assert received.headers["authorization"] == "Bearer x"
    assert received.headers["x-plain"] == "y"
    body = orjson.loads(received.body)
    assert (body["alert_name"], body["execution_id"], body["match_count"]) == ("name of alt_1", id_of(item), 1)
    (notice,) = await notices(context)
    assert (notice.execution_id, notice.channel_index, notice.status, notice.attempt, notice.http_status) == (
        id_of(item),
        0,
        "delivered",
        1,
        200,
    )
    assert await state_of(context, "alt_1") == (AT, 0)


async def test_an_alert_is_known_before_its_definition_reaches_the_topic(context: Context) -> None:
    # No relay runs here at all: the definition is in the outbox, where it may stay a while.
    async with receiving() as receiver, notifying(allowing(context)):
        await put_alert(context, "alt_1", webhook(receiver.url))
        await publish(context, [result()])
        await receiver.count(1)


async def test_a_failing_endpoint_is_retried_with_the_same_id_until_it_takes_it(context: Context) -> None:
    clock = TurnedClock()
    async with receiving() as receiver, notifying(allowing(context, clock)):
        receiver.answers((500, {}), (503, {}), (200, {}))
        await put_alert(
            context, "alt_1", webhook(receiver.url, signing_secret=await _stored_secret(context, SECRET))
        )
        item = result()
        await publish(context, [item])
        await until_state(context, "pending", 1)
        clock.advance(delay_seconds(f"{id_of(item)}_0", 1))
        await until_state(context, "pending", 2)
        clock.advance(delay_seconds(f"{id_of(item)}_0", 2))
        await until_state(context, "delivered", 3)
    assert {received.headers["webhook-id"] for received in receiver.requests} == {f"{id_of(item)}_0"}
    assert len({received.body for received in receiver.requests}) == 1
    assert len({received.headers["webhook-timestamp"] for received in receiver.requests}) == 3
    assert all(_verified(received) for received in receiver.requests)
    assert [(notice.attempt, notice.status, notice.http_status) for notice in await notices(context)] == [
        (1, "deferred", 500),
        (2, "deferred", 503),
        (3, "delivered", 200),
    ]


async def test_retry_after_is_respected(context: Context) -> None:
    clock = TurnedClock()
    async with receiving() as receiver, notifying(allowing(context, clock)):
        receiver.answers((429, {"Retry-After": "3600"}), (200, {}))
        await put_alert(context, "alt_1", webhook(receiver.url))
        await publish(context, [result()])
        await until_state(context, "pending", 1)
        async with context.database.connection() as connection:
            cursor = await connection.execute("SELECT next_attempt_at FROM deliveries")
            assert await cursor.fetchone() == (AT + timedelta(hours=1),)
        clock.advance(3_600)
        await until_state(context, "delivered", 2)


async def test_410_is_final(context: Context) -> None:
    async with receiving() as receiver, notifying(allowing(context)):
        receiver.answers((410, {}))
        await put_alert(context, "alt_1", webhook(receiver.url))
        await publish(context, [result()])
        await until_state(context, "failed", 1)
    (notice,) = await notices(context)
    assert (notice.status, notice.http_status, notice.error) == (
        "failed",
        410,
        "HTTP 410: the endpoint says it is gone",
    )


async def test_cooldown_holds_back_counts_and_explains(context: Context) -> None:
    first, inside, after = (result(n, at=AT + timedelta(seconds=60 * n)) for n in range(3))
    async with receiving() as receiver, notifying(allowing(context)):
        await put_alert(context, "alt_1", webhook(receiver.url), cooldown_seconds=100)
        for number, item in enumerate((first, inside, after), 1):
            await publish(context, [item])
            await until_decided(context, number)
        await until_state(context, "delivered", 1, count=2)
    assert [row[0] for row in await deliveries(context)] == sorted([id_of(first), id_of(after)])
    held = [notice for notice in await notices(context) if notice.status == "deferred"]
    assert [(notice.execution_id, notice.attempt) for notice in held] == [(id_of(inside), 0)]
    assert held[0].error is not None
    assert "in cooldown until" in held[0].error
    assert await state_of(context, "alt_1") == (AT + timedelta(seconds=120), 1)


async def test_the_same_results_again_create_nothing_new(context: Context) -> None:
    items = [result(n, hit(1, "alt_1"), hit(2, "alt_2"), at=AT + timedelta(seconds=n)) for n in range(4)]
    async with receiving() as receiver, notifying(allowing(context)):
        await put_alert(context, "alt_1", webhook(receiver.url), cooldown_seconds=2)
        await put_alert(context, "alt_2", webhook(receiver.url))
        await publish(context, items)
        await until_decided(context, len(items))
        await until_state(context, "delivered", 1, count=2 + 4)
        before = await deliveries(context), await state_of(context, "alt_2")
        # A crash of match after its produces: every record stands in the topic twice.
        await publish(context, items)
        await until_decided(context, 2 * len(items))
    assert (await deliveries(context), await state_of(context, "alt_2")) == before
    assert len(receiver.requests) == 6
    state = await state_of(context, "alt_1")
    assert state is not None
    assert state[0] == AT + timedelta(seconds=2)


async def test_a_producers_repeat_much_later_starts_no_new_cooldown(context: Context) -> None:
    first, repeat = (result(n, event_id="e1", at=AT + timedelta(hours=n)) for n in range(2))
    real = result(2, at=AT + timedelta(hours=1, seconds=1))
    assert id_of(first) == id_of(repeat)
    async with receiving() as receiver, notifying(allowing(context)):
        await put_alert(context, "alt_1", webhook(receiver.url), cooldown_seconds=60)
        for number, item in enumerate((first, repeat, real), 1):
            await publish(context, [item])
            await until_decided(context, number)
        await until_state(context, "delivered", 1, count=2)
    assert [row[0] for row in await deliveries(context)] == sorted([id_of(first), id_of(real)])
    assert await state_of(context, "alt_1") == (real.appended_at, 0)


async def test_a_restart_goes_on_where_it_stood(context: Context) -> None:
    async with receiving() as receiver:
        await put_alert(context, "alt_1", webhook(receiver.url))
        await publish(context, [result(0)])
        async with notifying(allowing(context)):
            await until_state(context, "delivered", 1)
        await publish(context, [result(1)])
        async with notifying(allowing(context)):
            await until_state(context, "delivered", 1, count=2)
        assert len(receiver.requests) == 2


async def test_a_dead_endpoint_does_not_delay_a_healthy_one(context: Context) -> None:
    released = asyncio.Event()

    async def never(_: Received) -> web.Response:
        await released.wait()
        return web.Response()

    async with receiving() as dead, receiving() as well:
        dead.answer = never
        await put_alert(context, "alt_dead", webhook(dead.url, timeout=30))
        await put_alert(context, "alt_well", webhook(well.url))
        # More than the sender looks at in one go, and all of them due before the healthy one's.
        await publish(context, [result(n, hit(1, "alt_dead")) for n in range(500)])
        await publish(context, [result(n, hit(2, "alt_well")) for n in range(500, 530)])
        async with notifying(allowing(context)):
            await dead.count(1)
            await well.count(30, timeout=10)
            assert len(dead.requests) <= 8
            released.set()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_private_addresses_are_refused_by_default(context: Context, host: str) -> None:
    async with receiving() as receiver, notifying(allowing(context, private=False)):
        await put_alert(context, "alt_1", webhook(f"http://{host}:{receiver.url.rsplit(':', 1)[1]}/"))
        await publish(context, [result()])
        await until_state(context, "failed", 1)
        assert receiver.requests == []
    (notice,) = await notices(context)
    assert notice.status == "failed"
    assert notice.error is not None
    assert "loopback" in notice.error
    assert "TIDEWATCH_ALLOW_PRIVATE_WEBHOOKS" in notice.error


async def test_a_redirect_is_not_followed(context: Context) -> None:
    async with receiving() as receiver, notifying(allowing(context)):
        receiver.answers((302, {"Location": receiver.url + "/internal"}))
        await put_alert(context, "alt_1", webhook(receiver.url + "/in"))
        await publish(context, [result()])
        await until_state(context, "failed", 1)
    assert [received.path for received in receiver.requests] == ["/in"]
    (notice,) = await notices(context)
    assert (notice.status, notice.http_status) == ("failed", 302)


async def test_channels_that_cannot_deliver_are_recorded_and_hold_up_nothing(context: Context) -> None:
    email = {"channel_type": "email", "config": {"to_addresses": ["a@example.com"]}}
    async with receiving() as receiver, notifying(allowing(context)):
        slack = {
            "channel_type": "slack",
            "config": {"webhook_url": await _stored_secret(context, receiver.url + "/slack")},
        }
        await put_alert(context, "alt_1", email, slack, webhook(receiver.url + "/hook"))
        await put_alert(context, "alt_none")
        await publish(context, [result(0, hit(1, "alt_1"), hit(2, "alt_none"))])
        await until_state(context, "delivered", 1, count=2)
    states = [(row[1], row[2], row[3]) for row in await deliveries(context)]
    assert states == [(0, "failed", 0), (1, "delivered", 1), (2, "delivered", 1)]
    statuses = sorted((notice.channel_index, notice.status) for notice in await notices(context))
    assert statuses == [(0, "not_configured"), (1, "delivered"), (2, "delivered")]
    assert sorted(received.path for received in receiver.requests) == ["/hook", "/slack"]
    text = next(received.body for received in receiver.requests if received.path == "/slack")
    assert orjson.loads(text)["text"].startswith("*name of alt_1* fired")


async def test_a_deleted_alert_is_not_retried(context: Context) -> None:
    clock = TurnedClock()
    async with receiving() as receiver, notifying(allowing(context, clock)):
        receiver.answers((500, {}))
        await put_alert(context, "alt_1", webhook(receiver.url))
        await publish(context, [result()])
        await until_state(context, "pending", 1)
        await drop_alert(context, "alt_1")
        clock.advance(60)
        await until_state(context, "failed", 2)
    assert len(receiver.requests) == 1
    assert (await deliveries(context))[0][4] == "the alert was deleted before this could be delivered"


async def test_retries_of_a_removed_channel_never_go_to_the_one_in_its_place(context: Context) -> None:
    clock = TurnedClock()
    async with receiving() as gone, receiving() as stays, notifying(allowing(context, clock)):
        gone.answers((500, {}))
        stays.answers((500, {}), (200, {}))
        await put_alert(context, "alt_1", webhook(gone.url), webhook(stays.url))
        item = result()
        await publish(context, [item])
        await until_state(context, "pending", 1, count=2)
        await put_alert(context, "alt_1", webhook(stays.url))
        clock.advance(60)
        await until_state(context, "failed", 2)
        await until_state(context, "delivered", 2)
    assert len(gone.requests) == 1
    assert {received.headers["webhook-id"] for received in stays.requests} == {f"{id_of(item)}_1"}
    reason = "the webhook channel was removed or changed before this could be delivered"
    assert [row[2:] for row in await deliveries(context)] == [("failed", 2, reason), ("delivered", 2, None)]


async def test_without_the_key_nothing_goes_out_unsigned(context: Context) -> None:
    secret = await _stored_secret(context, SECRET)
    allowed = allowing(context)
    keyless = allowed.settings.model_copy(update={"secret_key": None})
    async with receiving() as receiver:
        await put_alert(context, "alt_1", webhook(receiver.url, signing_secret=secret))
        await publish(context, [result()])
        async with notifying(Context(keyless, allowed.broker, allowed.database)):
            await until_state(context, "pending", 1)
        assert receiver.requests == []
    (notice,) = await notices(context)
    assert notice.status == "deferred"
    assert "TIDEWATCH_SECRET_KEY" in (notice.error or "")


async def test_a_bad_record_goes_to_dead_letters_and_the_rest_on(context: Context) -> None:
    producer = context.broker.producer()
    await producer.start()
    sends = Sends(producer)
    for number in range(3):
        await sends.send(context.broker.topic(ALERT_RESULTS), b"k", b"not a result", [("x", b"y")], number)
    await sends.acknowledged()
    await producer.stop()
    async with receiving() as receiver, notifying(allowing(context)):
        await put_alert(context, "alt_1", webhook(receiver.url))
        await publish(context, [result()])
        await until_decided(context, 4)
        await until_state(context, "delivered", 1)
    letters = await read_topic(context, DEAD_LETTERS)
    assert [letter.value for letter in letters] == [b"not a result"] * 3
    assert {dict(letter.headers)["x-dead-stage"] for letter in letters} == {b"notify"}


async def _die(context: Context, fault: str) -> None:
    await killed(context.settings, "notify", fault, instance=INSTANCE)


async def test_killed_before_the_commit_it_decides_again(context: Context) -> None:
    items = [result(n, at=AT + timedelta(seconds=n)) for n in range(5)]
    async with receiving() as receiver:
        await put_alert(context, "alt_1", webhook(receiver.url), cooldown_seconds=3)
        await publish(context, items)
        await _die(context, "notify:before-commit")
        assert await deliveries(context) == []
        async with notifying(allowing(context, instance=INSTANCE)):
            await until_decided(context, 5)
            await until_state(context, "delivered", 1, count=2)
    assert [row[0] for row in await deliveries(context)] == sorted([id_of(items[0]), id_of(items[3])])
    assert await state_of(context, "alt_1") == (AT + timedelta(seconds=3), 3)


async def test_killed_after_sending_it_sends_again_with_the_same_id(context: Context) -> None:
    async with receiving() as receiver:
        await put_alert(context, "alt_1", webhook(receiver.url))
        await publish(context, [result()])
        await _die(context, "notify:after-send")
        await receiver.count(1)
        async with notifying(allowing(context, clock := TurnedClock(), instance=INSTANCE)):
            async with context.database.connection() as connection:
                cursor = await connection.execute("SELECT lease_expires_at FROM deliveries")
                row = await cursor.fetchone()
            assert row is not None
            clock.now = row[0]
            await until_state(context, "delivered", 1)
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == f"{id_of(result())}_0"
    assert first.body == second.body


async def test_two_stations_share_the_work_and_send_once(context: Context) -> None:
    items = [result(n, document=f"doc_{n}") for n in range(60)]
    async with receiving() as receiver, notifying(allowing(context)), notifying(allowing(context)):
        await put_alert(context, "alt_1", webhook(receiver.url))
        await publish(context, items)
        await until_state(context, "delivered", 1, count=60)

        async def recorded() -> bool:
            return len(await notices(context)) == 60

        await eventually(recorded, what="each delivery is recorded")
    sent = [received.headers["webhook-id"] for received in receiver.requests]
    assert sorted(sent) == sorted(f"{id_of(item)}_0" for item in items)


async def test_a_batch_handed_over_again_in_smaller_pieces_moves_nothing_back(context: Context) -> None:
    await put_alert(context, "alt_1", webhook("https://example.com/in"))
    topic = context.broker.topic(ALERT_RESULTS)
    async with (
        context.broker.producer() as producer,
        context.broker.consumer() as consumer,
        Webhooks(allow_private=True) as webhooks,
    ):
        partition = TopicPartition(topic, 0)
        sends = Sends(producer)
        for number in range(4):
            await sends.send(topic, b"k", encode_alert_result(result(number)), [], 0)
        await sends.acknowledged()
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        records: list[ConsumerRecord] = []
        while len(records) < 4:
            records += (await consumer.getmany(timeout_ms=1_000)).get(partition, [])
        decider = Decider(context, DeadLetters(context.broker, producer, NAME), Sender(context, webhooks))
        await decider.start_offsets([partition])
        await decider.handle({partition: records[:3]})
        # Kafka did not take the commit: the loop goes back to the first record and polls less this time.
        await decider.handle({partition: records[:2]})
        assert await position(context) == 3
        await decider.handle({partition: records[1:]})
        assert await position(context) == 4
    assert len(await deliveries(context)) == 4
