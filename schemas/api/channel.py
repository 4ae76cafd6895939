"""Notification channels of an alert (contract 4.2)."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Final, Literal, Self

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from schemas.api.base import ApiRequest, JsonObject, having, problem, read_part, shape_by

MASK: Final = "********"
"""What is shown in place of a secret; sent back, it keeps the secret."""

ChannelType = Literal["webhook", "slack", "email", "batch"]


OF_THE_MESSAGE: Final = frozenset(
    ("connection", "content-length", "content-type", "expect", "host", "transfer-encoding", "upgrade")
)
"""Headers that say how a message is sent: the sender's, not the user's."""
OF_THE_SIGNATURE: Final = "webhook-"
"""How headers of Standard Webhooks begin."""


class WebhookConfig(ApiRequest):
    """A webhook: where to post and how to sign. ``timeout`` in seconds."""

    url: str | None = Field(None, pattern=r"^https?://[^\s\x00]+$", max_length=2_048)
    headers: dict[str, str] | None = None
    timeout: float = Field(10, gt=0, le=120)
    payload_template: str | None = None
    signing_secret: str | None = Field(None, min_length=1)

    @field_validator("headers")
    @classmethod
    def _users(cls, headers: dict[str, str] | None) -> dict[str, str] | None:
        for name in headers or ():
            if name.lower() in OF_THE_MESSAGE or name.lower().startswith(OF_THE_SIGNATURE):
                raise ValueError(f"the header {name!r} is set by the sender; leave it out")
        return headers


class SlackConfig(ApiRequest):
    """A Slack incoming webhook; its address is a secret."""

    webhook_url: str | None = Field(None, min_length=1, max_length=2_048)
    channel: str | None = None
    username: str | None = None
    icon_emoji: str | None = None
    icon_url: str | None = None
    blocks_template: str | None = None


class EmailConfig(ApiRequest):
    """Electronic mail."""

    to_addresses: list[str] = Field(min_length=1)
    subject_template: str | None = None
    body_template: str | None = None
    content_type: Literal["plain_text", "html", "markdown", "json"] = "plain_text"
    cc_addresses: list[str] | None = None
    bcc_addresses: list[str] | None = None


class BatchConfig(ApiRequest):
    """Matching documents into a collection."""

    collection_id: str = Field(min_length=1)
    bucket_id: str | None = None
    dedup_strategy: Literal["replace", "skip", "force"] | None = None
    """A document that is to be written where there is one of its id takes its place (the default), or is left out.
    Ids are kept, so ``force`` is ``replace``."""


CONFIGS: Final[Mapping[str, type[ApiRequest]]] = {
    "webhook": WebhookConfig,
    "slack": SlackConfig,
    "email": EmailConfig,
    "batch": BatchConfig,
}


ADDRESSES: Final[Mapping[str, str]] = {"webhook": "url", "slack": "webhook_url"}
"""What a config names where it is posted to, by the type of the channel."""


class Channel(ApiRequest):
    """One channel. Without ``channel_id`` and ``config`` it is not configured and delivers nothing."""

    channel_type: ChannelType
    channel_id: str | None = None
    config: JsonObject | None = None

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = super().__get_pydantic_json_schema__(core, handler)
        shape_by(schema, handler, "channel_type", "config", CONFIGS, {"type": "null"}, {"maxProperties": 0})
        addresses = [
            having("channel_type", "config", channel_type={"const": kind}, config=having(address))
            for kind, address in ADDRESSES.items()
        ]
        without = [
            {"properties": {"channel_type": {"enum": ["email", "batch"]}}},
            having("channel_id"),
            {"properties": {"config": {"anyOf": [{"type": "null"}, {"maxProperties": 0}]}}},
        ]
        handler.resolve_ref_schema(schema)["allOf"].append({"anyOf": [*without, *addresses]})
        return schema

    @model_validator(mode="after")
    def _check_config(self) -> Self:
        if self.config:
            self.config = read_part(CONFIGS[self.channel_type], self.config, "config").given()
            address = ADDRESSES.get(self.channel_type)
            if address and self.channel_id is None and address not in self.config:
                raise problem(f"a {self.channel_type} channel needs {address}", "config", address, kind="missing")
        return self


class NotificationConfig(ApiRequest):
    """Where and what an alert tells."""

    channels: list[Channel] = Field(min_length=1, max_length=50)
    include_matches: bool = True
    include_scores: bool = True
    template_id: str | None = None


UNCONFIGURED: JsonObject = {"channels": [{"channel_type": "webhook"}]}
"""The notification config of an alert that delivers nothing (docs/decisions/001)."""


def is_unconfigured(channel: Mapping[str, Any]) -> bool:
    """Whether a stored channel names neither an address nor a configured channel: it is there to tell nobody."""
    return not channel.get("channel_id") and not channel.get("config")


def secret_places(channel: JsonObject) -> Iterator[tuple[JsonObject, str]]:
    """Each place of a channel that holds a secret, as the object and the key in it: a webhook's
    ``signing_secret`` and every value of its ``headers``, and Slack's ``webhook_url``."""
    config = channel.get("config") or {}
    if channel["channel_type"] == "webhook":
        if "signing_secret" in config:
            yield config, "signing_secret"
        headers = config.get("headers") or {}
        for name in headers:
            yield headers, name
    elif channel["channel_type"] == "slack" and "webhook_url" in config:
        yield config, "webhook_url"


def masked(notification_config: JsonObject) -> JsonObject:
    """The config as a reader may see it."""
    shown = deepcopy(notification_config)
    for channel in shown["channels"]:
        for holder, key in secret_places(channel):
            holder[key] = MASK
    return shown
