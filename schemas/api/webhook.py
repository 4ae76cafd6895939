"""Webhooks of the organisation: who is told of which events, and how (contract 2.10, 7)."""

from typing import Literal, Self, get_args

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from schemas.api.base import ApiRequest, ApiResponse, Instant, JsonObject, having, shape_by
from schemas.api.channel import ADDRESSES, CONFIGS, Channel
from schemas.api.pages import ListRequest, Pagination, sorted_by
from schemas.events.happening import EventType

ANY = "*"
"""In place of event types: all that there are at the time."""

WebhookChannelType = Literal["email", "slack", "webhook"]


class WebhookChannel(ApiRequest):
    """Where events go: what ``channel_type`` and ``config`` are for an alert's channel (contract 4.2)."""

    channel: WebhookChannelType
    configs: JsonObject = Field(min_length=1)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = super().__get_pydantic_json_schema__(core, handler)
        shapes = {kind: CONFIGS[kind] for kind in get_args(WebhookChannelType)}
        shape_by(schema, handler, "channel", "configs", shapes)
        addressed = [
            {"properties": {"channel": {"const": kind}, "configs": having(address)}}
            for kind, address in ADDRESSES.items()
        ]
        handler.resolve_ref_schema(schema)["allOf"].append(
            {"anyOf": [{"properties": {"channel": {"const": "email"}}}, *addressed]}
        )
        return schema

    @model_validator(mode="after")
    def _check_configs(self) -> Self:
        self.configs = Channel(channel_type=self.channel, config=self.configs).config or {}
        return self


class WebhookRequest(ApiRequest):
    """``WebhookInput``. What the server sets is accepted, since it is in every answer, and ignored."""

    webhook_name: str = Field(min_length=1, max_length=200)
    event_types: list[EventType | Literal["*"]] = Field(min_length=1, max_length=100)
    channels: list[WebhookChannel] = Field(min_length=1, max_length=50)
    resource_types: list[str] | None = Field(None, max_length=100)
    is_active: bool = True
    webhook_id: str | None = None
    internal_id: str | None = None
    delivery_health: JsonObject | None = None
    created_at: str | None = None
    updated_at: str | None = None


class DeliveryHealth(ApiResponse):
    """How the deliveries of the last 30 days fared."""

    consecutive_failures: int
    """Failed for good since the last that arrived."""
    pending: int
    last_failure_at: Instant | None
    last_failure_cause: str | None


class WebhookResponse(ApiResponse):
    """``WebhookOutput``; secrets are masked."""

    webhook_id: str
    webhook_name: str
    event_types: list[str]
    resource_types: list[str] | None
    channels: list[JsonObject]
    is_active: bool
    delivery_health: DeliveryHealth | None
    created_at: Instant
    updated_at: Instant


class ListWebhooksRequest(ListRequest):
    """List style A, and two filters."""

    model_config = ConfigDict(
        json_schema_extra=sorted_by(WebhookResponse, "id", "name", "webhook_id", "webhook_name")
    )

    event_type: str | None = Field(None, max_length=100)
    is_active: bool | None = None


class ListWebhooksResponse(ApiResponse):
    """``ListWebhooksResponse``."""

    results: list[WebhookResponse]
    pagination: Pagination
    total: int
