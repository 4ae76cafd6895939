"""Channels: what can deliver, and where a delivery goes by the alert as it stands."""

from collections.abc import Mapping
from typing import Any

import pytest

from streams.notify.aim import GoneError, aim
from streams.notify.channels import Endpoint, Into, NotConfiguredError, SecretRef, identity, way
from streams.notify.policy import Policy, policy
from tests.notify.support import NAMESPACE, webhook

URL = "https://Example.com:8443/hook?x=1"
KEY = (NAMESPACE, "alt_1")


def endpoint(channel: Mapping[str, Any]) -> Endpoint:
    found = way(channel)
    assert isinstance(found, Endpoint)
    return found


def test_a_batch_channel_leads_into_a_collection() -> None:
    assert way({"channel_type": "batch", "config": {"collection_id": "col_1"}}) == Into("col_1")


def test_a_webhook() -> None:
    channel = webhook(
        URL, headers={"X-Team": "a", "Authorization": {"$secret": "secret_1"}}, signing_secret={"$secret": "s2"}
    )
    found = endpoint(channel)
    assert found == Endpoint(
        URL, (("X-Team", "a"), ("Authorization", SecretRef("secret_1"))), SecretRef("s2"), 10.0
    )
    assert found.host == "example.com:8443"


def test_slack() -> None:
    assert endpoint({"channel_type": "slack", "config": {"webhook_url": {"$secret": "secret_1"}}}) == Endpoint(
        SecretRef("secret_1")
    )


@pytest.mark.parametrize(
    ("given", "used"),
    [(None, 10.0), (3, 3.0), (2.5, 2.5), (0, 1.0), (-1, 1.0), (900, 30.0), (True, 10.0), ("5", 10.0)],
)
def test_the_timeout_is_bounded(given: object, used: float) -> None:
    assert endpoint(webhook(URL, timeout=given)).timeout_seconds == used


def test_headers_of_the_message_itself_are_not_taken() -> None:
    names = [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "Webhook-Signature",
        "webhook-id",
        "Content-Type",
        "Ok",
    ]
    assert endpoint(webhook(URL, headers=dict.fromkeys(names, "x"))).headers == (("Ok", "x"),)


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ({"channel_type": "webhook"}, "has no url"),
        ({"channel_type": "webhook", "config": {"url": None}}, "has no url"),
        ({"channel_type": "webhook", "channel_id": "ch_1"}, "pre-configured"),
        (webhook("ftp://example.com"), "http:// or https://"),
        (webhook("https://"), "http:// or https://"),
        (webhook("https://example.com:99999/"), "http:// or https://"),
        (webhook("https://[::1"), "http:// or https://"),
        ({"channel_type": "slack", "config": {}}, "has no webhook_url"),
        ({"channel_type": "email", "config": {"to_addresses": ["a@b"]}}, "email delivery is not available"),
        ({"channel_type": "batch", "config": {}}, "has no collection_id"),
        ({"channel_type": "batch", "config": {"collection_id": "c", "bucket_id": "b"}}, "no buckets"),
        ({"channel_type": "pigeon"}, "unknown channel_type 'pigeon'"),
        ({}, "unknown channel_type None"),
    ],
)
def test_what_cannot_deliver_says_why(channel: dict[str, Any], words: str) -> None:
    with pytest.raises(NotConfiguredError, match=words):
        way(channel)


def _policies(*channels: Any, **fields: Any) -> dict[tuple[str, str], Policy]:
    return {KEY: policy(NAMESPACE, "alt_1", {"notification_config": {"channels": list(channels)}, **fields})}


def test_aim_follows_the_alert() -> None:
    first, second = webhook(URL), webhook(URL + "2")
    for standing in ((first, second), (second, first), (second,)):
        assert aim(_policies(*standing), KEY, identity(second), "webhook") == Endpoint(URL + "2")
    repaired = webhook(URL + "2", signing_secret={"$secret": "s3"}, headers={"X-A": "b"}, timeout=3)
    found = aim(_policies(repaired), KEY, identity(second), "webhook")
    assert isinstance(found, Endpoint)
    assert (found.signing_secret, found.headers, found.timeout_seconds) == (SecretRef("s3"), (("X-A", "b"),), 3.0)


def test_a_channel_is_what_it_leads_to() -> None:
    slack = {"channel_type": "slack", "config": {"webhook_url": {"$secret": "s1"}}}
    others = [
        webhook(URL),
        webhook(URL + "2"),
        {**webhook(URL), "channel_id": "ch_1"},
        {"channel_type": "webhook", "channel_id": "ch_1"},
        slack,
        {"channel_type": "slack", "config": {"webhook_url": {"$secret": "s2"}}},
        {"channel_type": "slack", "config": {"webhook_url": URL}},
        {"channel_type": "email", "config": {"to_addresses": ["a@b"]}},
        {"channel_type": "email", "config": {"to_addresses": ["a@c"]}},
    ]
    assert len({identity(channel) for channel in others}) == len(others)
    assert identity({**slack, "config": {**slack["config"], "channel": "#a"}}) == identity(slack)  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("policies", "words"),
    [
        ({}, "deleted"),
        (_policies(webhook(URL), enabled=False), "disabled"),
        (_policies(), "removed"),
        (_policies({"channel_type": "slack", "config": {"webhook_url": URL}}), "webhook channel was removed"),
        (_policies(webhook(URL + "2")), "webhook channel was removed or changed"),
    ],
)
def test_aim_at_what_is_gone(policies: dict[tuple[str, str], Policy], words: str) -> None:
    with pytest.raises(GoneError, match=words):
        aim(policies, KEY, identity(webhook(URL)), "webhook")
