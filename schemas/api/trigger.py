"""Unified triggers (contract 2.3, 4.7)."""

from typing import Annotated, Literal, Self

from pydantic import Field, GetJsonSchemaHandler, WithJsonSchema, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from schemas.api import actions, schedule
from schemas.api.actions import ActionType, read_action
from schemas.api.base import ApiRequest, ApiResponse, Instant, JsonObject, shape_by
from schemas.api.pages import WindowedListRequest
from schemas.api.schedule import ANY_SCHEDULE, TriggerType, read_schedule

Status = Literal["active", "paused", "disabled", "failed"]


class CreateTriggerRequest(ApiRequest):
    """``CreateTriggerRequest``. Both configs are checked and filled with their defaults."""

    action_type: ActionType
    action_config: JsonObject
    trigger_type: TriggerType
    schedule_config: JsonObject
    name: str | None = Field(None, min_length=1, max_length=200)
    description: str | None = Field(None, max_length=1_000)
    status: Literal["active", "paused"] = "active"

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = super().__get_pydantic_json_schema__(core, handler)
        shape_by(schema, handler, "action_type", "action_config", actions.SHAPES)
        shape_by(schema, handler, "trigger_type", "schedule_config", schedule.SHAPES)
        return schema

    @model_validator(mode="after")
    def _configs(self) -> Self:
        self.action_config = read_action(self.action_type, self.action_config)
        self.schedule_config = read_schedule(self.trigger_type, self.schedule_config)
        return self


class PatchTriggerRequest(ApiRequest):
    """What of a trigger may change; ``schedule_config`` replaces the whole."""

    schedule_config: Annotated[JsonObject, WithJsonSchema(ANY_SCHEDULE)] | None = None
    name: str | None = Field(None, min_length=1, max_length=200)
    description: str | None = Field(None, max_length=1_000)
    status: Literal["active", "paused", "disabled"] | None = None


class ListTriggersRequest(WindowedListRequest):
    """Which triggers to list. ``resource_id`` matches a resource named by the action."""

    action_type: ActionType | None = None
    trigger_type: TriggerType | None = None
    status: Status | None = None
    resource_id: str | None = None


class TriggerResponse(ApiResponse):
    """``Trigger``: one of the five judged shapes (contract 4.7)."""

    trigger_id: str
    namespace_id: str
    internal_id: str
    action_type: str
    action_config: JsonObject
    trigger_type: str
    schedule_config: JsonObject
    status: Status
    last_triggered_at: Instant | None
    next_scheduled_at: Instant | None
    last_cooldown_at: Instant | None
    last_condition_check_at: Instant | None
    last_execution_task_id: str | None
    last_execution_status: str | None
    last_execution_error: str | None
    execution_count: int
    consecutive_failures: int
    event_counter: int
    baseline_snapshot: JsonObject | None
    last_drift_measurement: JsonObject | None
    last_volume_measurement: JsonObject | None
    name: str | None
    description: str | None
    created_by: str | None
    created_at: Instant
    updated_at: Instant
    is_overdue: bool


class ListTriggersResponse(ApiResponse):
    """``ListTriggersResponse``."""

    results: list[TriggerResponse]
    total: int
    offset: int
    limit: int
