"""Webhooks of the organisation: what happened reaches them, signed, once, and nobody else."""

import dataclasses
from datetime import timedelta
from typing import Any

import orjson
import pytest

from schemas.api.webhook import WebhookRequest
from schemas.events.happening import Happening
from schemas.ids import new_id
from schemas.times import format_instant
from streams.api.webhooks import body_of, notification_config
from streams.notify.events import Event, deliveries_of, webhook
from streams.runtime.agent import Context
from streams.runtime.definitions import delete_definition, put_definition
from streams.runtime.happenings import tell, tell_channels, wanted_types
from tests.notify.support import (
    AT,
    NAMESPACE,
    Receiver,
    allowing,
    deliveries,
    hit,
    id_of,
    notifying,
    publish,
    put_alert,
    receiving,
    result,
    until_decided,
)

EVENT = Event("evt_1", "collection.documents.written", NAMESPACE, "col_1", {"collection_id": "col_1"}, AT)


def definition(url: str, *types: str, **more: Any) -> dict[str, Any]:
    """A webhook as the API stores it."""
    channels = [{"channel": "webhook", "configs": {"url": url}}]
    request = WebhookRequest.model_validate(
        {"webhook_name": "hook", "event_types": list(types), "channels": channels, **more}
    )
    return body_of(request, "wh_1", notification_config(request))


async def put_webhook(context: Context, url: str, *types: str, **more: Any) -> str:
    identifier = new_id("webhook")
    async with context.database.transaction() as connection:
        await put_definition(connection, "webhook", "", identifier, None, definition(url, *types, **more))
    return identifier


@pytest.mark.parametrize(
    ("types", "more", "wanted"),
    [
        (["collection.documents.written"], {}, True),
        (["*"], {}, True),
        (["collection.created"], {}, False),
        (["*"], {"is_active": False}, False),
        (["*"], {"resource_types": ["alert"]}, False),
        (["*"], {"resource_types": ["alert", "collection"]}, True),
        (["*"], {"resource_types": []}, True),
    ],
)
def test_a_webhook_is_told_of_what_it_wants(types: list[str], more: dict[str, Any], wanted: bool) -> None:
    told = deliveries_of([EVENT], [webhook("wh_1", definition("https://a.example", *types, **more))])
    assert [item.alert_id for item in told] == (["wh_1"] if wanted else [])


def test_the_payload_is_the_contracts() -> None:
    (one,) = deliveries_of([EVENT], [webhook("wh_1", definition("https://a.example", "*"))])
    assert orjson.loads(one.payload) == {
        "event_id": "evt_1",
        "event_type": "collection.documents.written",
        "occurred_at": format_instant(AT),
        "namespace_id": NAMESPACE,
        "subject": {"type": "collection", "id": "col_1"},
        "metadata": {"collection_id": "col_1"},
        "cache_scope": {"scope": "collection", "collection_id": "col_1"},
    }
    assert one.webhook_id == "evt_1_wh_1_0"
    elsewhere = dataclasses.replace(EVENT, metadata={})
    (other,) = deliveries_of([elsewhere], [webhook("wh_1", definition("https://a.example", "*"))])
    assert orjson.loads(other.payload)["cache_scope"] == {"scope": "namespace"}


async def test_nothing_is_written_that_no_webhook_wants(context: Context) -> None:
    await put_webhook(context, "https://a.example", "alert.created")
    async with context.database.transaction() as connection:
        assert await wanted_types(connection, ("alert.created", "alert.deleted")) == {"alert.created"}
        await tell(connection, [Happening("alert.deleted", NAMESPACE, "alt_1")])
        await tell(connection, [Happening("alert.created", NAMESPACE, f"alt_{n}") for n in (2, 1)])
        rows = await (await connection.execute("SELECT subject_id FROM webhook_events ORDER BY id")).fetchall()
    assert rows == [("alt_2",), ("alt_1",)]


def told(receiver: Receiver, path: str) -> list[tuple[str, str]]:
    bodies = [orjson.loads(item.body) for item in receiver.requests if item.path == path]
    return [(body["event_type"], body["subject"]["id"]) for body in bodies]


async def test_what_happens_reaches_webhooks_once_whatever_the_alerts_channels_do(context: Context) -> None:
    async with receiving() as receiver:
        every = await put_webhook(context, f"{receiver.url}/every", "*")
        await put_webhook(context, f"{receiver.url}/fires", "alert.triggered")
        await put_alert(context, "alt_1", cooldown_seconds=3600)
        async with notifying(allowing(context)):
            fires = [result(0), result(1, at=AT + timedelta(seconds=1)), result(0)]
            await publish(context, fires)
            await until_decided(context, 3)
            # Created, two executions and two fires; and again the two fires.
            await receiver.count(7)
            async with context.database.transaction() as connection:
                await delete_definition(connection, "alert", NAMESPACE, "alt_1")
            await receiver.count(8)
    assert told(receiver, "/fires") == [("alert.triggered", "alt_1")] * 2
    kinds = sorted(kind for kind, _ in told(receiver, "/every"))
    executed = ["alert.execution.completed"] * 2
    assert kinds == ["alert.created", "alert.deleted", *executed, *["alert.triggered"] * 2]
    first = next(item for item in receiver.requests if item.path == "/fires")
    body = orjson.loads(first.body)
    assert body["metadata"]["execution_id"] == id_of(fires[0])
    assert body["metadata"]["alert_name"] == "name of alt_1"
    assert first.headers["webhook-id"].startswith(f"{body['event_id']}_wh_")
    states = [row[2] for row in await deliveries(context) if row[0].endswith(every)]
    assert states == ["delivered"] * 6


async def test_how_a_run_went_is_told_to_its_triggers_channels_and_to_no_webhook(context: Context) -> None:
    async with receiving() as receiver:
        await put_webhook(context, f"{receiver.url}/every", "*")
        channels = [{"channel_type": "webhook", "config": {"url": f"{receiver.url}/own"}}]
        body = {
            "name": "t",
            "action_config": {"retriever_id": "ret_1", "notification_config": {"channels": channels}},
        }
        metadata = {"trigger_id": "trig_1", "changed": True}
        item = Happening("trigger.results.changed", NAMESPACE, "trig_1", metadata, event_id="evt_run")
        async with context.database.transaction() as connection:
            await put_definition(connection, "trigger", NAMESPACE, "trig_1", None, body)
            await put_definition(connection, "trigger", "ns_other", "trig_1", None, body)
            await tell_channels(connection, item)
            await tell(connection, [Happening("trigger.paused", NAMESPACE, "trig_1")])
        async with notifying(allowing(context)):
            await receiver.count(4)
    assert told(receiver, "/own") == [("trigger.results.changed", "trig_1")]
    assert sorted(told(receiver, "/every")) == [*[("trigger.created", "trig_1")] * 2, ("trigger.paused", "trig_1")]


async def test_a_webhook_that_is_gone_is_told_nothing_more(context: Context) -> None:
    async with receiving() as receiver:
        gone = await put_webhook(context, f"{receiver.url}/gone", "*")
        async with context.database.transaction() as connection:
            await tell(connection, [Happening("taxonomy.updated", NAMESPACE, "tax_1")])
            await delete_definition(connection, "webhook", "", gone)
        await put_webhook(context, f"{receiver.url}/here", "*")
        await put_alert(context, "alt_1")
        async with notifying(allowing(context)):
            await receiver.count(2)
    assert told(receiver, "/gone") == []
    assert told(receiver, "/here") == [("taxonomy.updated", "tax_1"), ("alert.created", "alt_1")]
    assert hit().triggered
