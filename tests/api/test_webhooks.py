"""Webhooks of the organisation over HTTP: written, shown without secrets, found, replaced, deleted."""

import re
from typing import Any, get_args

import httpx
import mixpeek as official
import pytest

from schemas.events.happening import EventType
from streams.runtime.agent import Context
from streams.runtime.keys import create_key
from tests.api.conftest import caller
from tests.api.make import places, refused

mixpeek: Any = official
PATH = "/v1/organizations/webhooks"
HOOK = {"channel": "webhook", "configs": {"url": "https://hooks.example/a", "signing_secret": "s3"}}
WANTED: dict[str, Any] = {
    "webhook_name": "audit",
    "event_types": ["alert.triggered", "collection.created"],
    "channels": [HOOK, {"channel": "slack", "configs": {"webhook_url": "https://hooks.slack.com/services/T/B/x"}}],
}


async def created(api: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await api.post(PATH, json={**WANTED, **more})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    assert mixpeek.WebhookOutput.from_dict(shown).webhook_id == shown["webhook_id"]
    return shown


async def test_a_webhook_is_written_shown_replaced_and_deleted(api: httpx.AsyncClient, here: Context) -> None:
    one = await created(api)
    assert re.fullmatch("wh_[0-9a-f]{16}", one["webhook_id"])
    assert one["is_active"] is True
    assert one["channels"][0]["configs"]["signing_secret"] == "********"
    assert one["channels"][1]["configs"] == {"webhook_url": "********"}
    path = f"{PATH}/{one['webhook_id']}"
    assert (await api.get(path)).json() == one
    # What an answer shows can be sent back: masks keep their secrets.
    changed = await api.put(path, json={**one, "is_active": False, "event_types": ["*"]})
    assert (changed.status_code, changed.json()["is_active"], len(changed.json()["event_types"])) == (
        200,
        False,
        len(get_args(EventType)),
    )
    async with here.database.connection() as connection:
        row = await (await connection.execute("SELECT count(*) FROM secrets")).fetchone()
    assert row == (2,)
    # A mask stands for no secret of another address.
    other = {**HOOK, "configs": {"url": "https://thief.example", "signing_secret": "********"}}
    refused(await api.put(path, json={**one, "channels": [other]}), 409, "ConflictError")
    for _ in range(2):
        gone = await api.delete(path)
        assert (gone.status_code, gone.content) == (204, b"")
        assert gone.headers["X-Definitions-Version"]
    refused(await api.get(path), 404, "NotFoundError")
    refused(await api.put(path, json=WANTED), 404, "NotFoundError")
    async with here.database.connection() as connection:
        row = await (await connection.execute("SELECT count(*) FROM secrets")).fetchone()
    assert row == (0,)


async def test_lists_of_webhooks_filter_by_event_and_activity(api: httpx.AsyncClient) -> None:
    for number in range(3):
        name = f"hook {number}"
        await created(
            api, webhook_name=name, is_active=number != 1, event_types=[["*"], ["alert.created"]][number > 0]
        )

    async def names(body: dict[str, Any], **query: Any) -> list[str]:
        answer = await api.post(f"{PATH}/list", json=body, params=query)
        assert answer.status_code == 200, answer.text
        listed = mixpeek.ListWebhooksResponse.from_dict(answer.json())
        assert listed.total >= len(listed.results)
        return [item.webhook_name for item in listed.results]

    assert (await api.post(f"{PATH}/list")).json()["total"] == 3
    assert await names({}) == ["hook 2", "hook 1", "hook 0"]
    assert await names({"is_active": False}) == ["hook 1"]
    assert await names({"event_type": "alert.created", "is_active": True}) == ["hook 2", "hook 0"]
    assert await names({"search": "k 0"}) == ["hook 0"]
    assert await names({"sort": {"field": "webhook_name"}}, limit=2) == ["hook 0", "hook 1"]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"event_types": []}, ("too_short", ["body", "event_types"])),
        ({"event_types": ["alert.exploded"]}, None),
        ({"channels": []}, ("too_short", ["body", "channels"])),
        ({"channels": [{"channel": "webhook", "configs": {}}]}, None),
        ({"channels": [{"channel": "webhook", "configs": {"url": "ftp://a"}}]}, None),
        ({"channels": [{"channel": "pigeon", "configs": {"url": "https://a"}}]}, None),
        ({"webhook_name": ""}, ("string_too_short", ["body", "webhook_name"])),
        ({"colour": 1}, ("extra_forbidden", ["body", "colour"])),
    ],
)
async def test_a_webhook_that_cannot_be_is_refused(
    api: httpx.AsyncClient, change: dict[str, Any], where: tuple[str, list[Any]] | None
) -> None:
    error = refused(await api.post(PATH, json={**WANTED, **change}), 422, "ValidationError")
    assert where is None or where in places(error)


async def test_what_no_delivery_would_follow_is_refused(api: httpx.AsyncClient) -> None:
    email = {"channel": "email", "configs": {"to_addresses": ["a@b.example"]}}
    templated = {"channel": "webhook", "configs": {"url": "https://a.example", "payload_template": "{}"}}
    for channel in (email, templated):
        refused(await api.post(PATH, json={**WANTED, "channels": [channel]}), 403, "NotEnabledError")


async def test_a_key_that_does_not_reach_every_namespace_has_no_webhooks(
    api: httpx.AsyncClient, here: Context
) -> None:
    one = await created(api)
    async with here.database.connection() as connection:
        _, secret = await create_key(connection, "one", ["ns_elsewhere"], ["read", "write"])
    async with caller(here, secret) as other:
        for method, path in (
            ("GET", f"/{one['webhook_id']}"),
            ("POST", "/list"),
            ("DELETE", f"/{one['webhook_id']}"),
        ):
            refused(await other.request(method, PATH + path), 403, "ForbiddenError")
    assert (await api.get(f"{PATH}/{one['webhook_id']}")).status_code == 200
