"""Channel types: which can deliver, to where, and with which body (contract 4.2). Pure.

A channel that cannot deliver does not fail an execution: it shows in ``deliveries`` as ``not_configured``.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from schemas.api.channel import OF_THE_MESSAGE, OF_THE_SIGNATURE
from schemas.events.alert_result import AlertHit, AlertResultRecord
from streams.notify.copying import copy_body
from streams.notify.payload import slack_body, webhook_body
from streams.notify.policy import Policy

DEFAULT_TIMEOUT_SECONDS: Final = 10.0
LONGEST_TIMEOUT_SECONDS: Final = 30.0

_ADDRESSES: Final = {"webhook": "url", "slack": "webhook_url"}


class NotConfiguredError(ValueError):
    """The channel cannot deliver as it is configured. The message says what is missing."""


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A value that is stored encrypted; only its id is in the definition."""

    secret_id: str


Value = str | SecretRef


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how a channel is reached; secrets still by their ids."""

    url: Value
    headers: tuple[tuple[str, Value], ...] = ()
    signing_secret: Value | None = None
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS

    @property
    def secrets(self) -> tuple[SecretRef, ...]:
        """The secrets an attempt needs."""
        values = (self.url, self.signing_secret, *(value for _, value in self.headers))
        return tuple(value for value in values if isinstance(value, SecretRef))

    @property
    def host(self) -> str:
        """What endpoints share when one server is behind them; a secret address counts as its own host."""
        return self.url.secret_id if isinstance(self.url, SecretRef) else urlsplit(self.url).netloc.lower()


@dataclass(frozen=True, slots=True)
class Into:
    """A collection that what an alert fires on is copied into."""

    collection_id: str
    """Its id or name."""
    keep: bool = False
    """Whether a document that is there under the same id stays."""
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS

    @property
    def host(self) -> str:
        """What shares the places for attempts."""
        return f"collection {self.collection_id}"


Way = Endpoint | Into
"""How a channel delivers."""


def identity(channel: Mapping[str, Any]) -> bytes:
    """A digest of what makes a channel the same one: its type and where it leads. How it signs, which headers
    it sends and how long it waits may change without making it another."""
    kind, config = channel.get("channel_type"), channel.get("config") or {}
    address = _ADDRESSES.get(str(kind))
    leads = config if address is None else config.get(address)
    text = orjson.dumps([kind, channel.get("channel_id"), leads], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=12, person=b"tw-channel").digest()


def way(channel: Mapping[str, Any]) -> Way:
    """Where a channel delivers to. Raises :class:`NotConfiguredError`."""
    kind = channel.get("channel_type")
    config = channel.get("config") or {}
    if not config and channel.get("channel_id"):
        raise NotConfiguredError(f"pre-configured channels are not supported: give {kind} a config")
    if kind == "webhook":
        return Endpoint(
            url=_address(config, "url", kind),
            headers=_headers(config.get("headers") or {}),
            signing_secret=_value(config.get("signing_secret")),
            timeout_seconds=_timeout(config.get("timeout")),
        )
    if kind == "slack":
        return Endpoint(url=_address(config, "webhook_url", kind))
    if kind == "batch":
        return _into(config)
    if kind == "email":
        raise NotConfiguredError("email delivery is not available on this server; use a webhook or Slack")
    raise NotConfiguredError(f"unknown channel_type {kind!r}; known are webhook, slack and batch")


def _into(config: Mapping[str, Any]) -> Into:
    collection = config.get("collection_id")
    if not isinstance(collection, str) or not collection:
        raise NotConfiguredError("the batch channel has no collection_id")
    if config.get("bucket_id"):
        raise NotConfiguredError("this server has no buckets: leave bucket_id out")
    return Into(collection, keep=config.get("dedup_strategy") == "skip")


def body(
    channel: Mapping[str, Any], record: AlertResultRecord, execution_id: str, hit: AlertHit, policy: Policy
) -> bytes:
    """What the channel is sent; of a batch channel, what it is to copy. Raises :class:`CauseDepthError` where the
    copy would be the effect of too many others."""
    if channel.get("channel_type") == "batch":
        return copy_body(record, hit)
    if channel.get("channel_type") == "slack":
        return slack_body(record, execution_id, hit, policy, channel.get("config") or {})
    return webhook_body(record, execution_id, hit, policy)


def _address(config: Mapping[str, Any], name: str, kind: str) -> Value:
    address = _value(config.get(name))
    if address is None:
        raise NotConfiguredError(f"the {kind} channel has no {name}")
    if isinstance(address, str):
        check_url(address)
    return address


def check_url(url: str) -> None:
    """Raises :class:`NotConfiguredError` for what cannot be posted to. Never repeats the address, which may be
    a secret."""
    try:
        parts = urlsplit(url)
        port_is_number = parts.port is None or parts.port > 0
    except ValueError:
        port_is_number = False
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_number:
        raise NotConfiguredError("the address must be http:// or https:// with a host name")


def _headers(raw: Mapping[str, Any]) -> tuple[tuple[str, Value], ...]:
    """The user's headers, without those that belong to the message itself and to its signature."""
    found = []
    for name, given in raw.items():
        value = _value(given)
        own = name.lower() in OF_THE_MESSAGE or name.lower().startswith(OF_THE_SIGNATURE)
        if value is not None and not own:
            found.append((name, value))
    return tuple(found)


def _value(raw: object) -> Value | None:
    if isinstance(raw, Mapping):
        secret_id = raw.get("$secret")
        return SecretRef(secret_id) if isinstance(secret_id, str) else None
    return raw if isinstance(raw, str) and raw else None


def _timeout(raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return DEFAULT_TIMEOUT_SECONDS
    return min(max(float(raw), 1.0), LONGEST_TIMEOUT_SECONDS)
