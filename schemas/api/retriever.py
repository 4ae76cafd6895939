"""Retrievers (contract 2.2, 4.5)."""

from collections.abc import Mapping
from typing import Any, Final, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from schemas.api.base import SHAPE, ApiRequest, ApiResponse, Instant, JsonObject, having, problem
from schemas.api.filters import Filter
from schemas.api.names import name_shape
from schemas.api.pages import ListRequest, Pagination, sorted_by

StageType = Literal["filter", "sort", "reduce", "apply", "enrich"]
FieldType = Literal[
    "string",
    "number",
    "integer",
    "float",
    "boolean",
    "object",
    "array",
    "date",
    "datetime",
    "text",
    "image",
    "audio",
    "video",
    "pdf",
    "excel",
    "document_reference",
]


STAGE_CONFIG: Final = "StageConfig"
"""The shape of what a stage does: ``stage_id`` with its parameters and filters."""


_NAME: Final = name_shape("retriever")


class Stage(ApiRequest):
    """One stage as it may be sent: ``config`` with ``stage_id``, or the older flat form with ``stage_id`` and
    ``parameters`` at the top. ``parameters`` beside ``config`` is the mirror of a response and is ignored."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                having("stage_name", "config", config={SHAPE: STAGE_CONFIG}, stage_id={"type": "null"}),
                {"allOf": [{SHAPE: STAGE_CONFIG}, {"properties": {"config": {"type": "null"}}}]},
            ]
        }
    )

    stage_name: str | None = Field(None, min_length=1)
    stage_type: str | None = None
    config: JsonObject | None = None
    batch_size: str | None = None
    description: str | None = None
    on_error: Literal["error", "skip"] = "error"
    output_alias: str | None = None
    stage_id: str | None = None
    parameters: JsonObject | None = None
    pre_filters: Filter | None = None
    post_filters: Filter | None = None

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if self.config is None:
            if self.stage_id is None:
                raise problem("a stage needs config with a stage_id", "config", kind="missing")
        elif self.stage_id is not None:
            raise problem("stage_id belongs inside config", "stage_id", kind="extra_forbidden")
        elif not isinstance(self.config.get("stage_id"), str) or not self.config["stage_id"]:
            raise problem("a stage needs the id of what it does", "config", "stage_id", kind="missing")
        elif self.stage_name is None:
            raise problem("a stage needs a name", "stage_name", kind="missing")
        return self


_DEFAULTS: Final[Mapping[tuple[FieldType, ...], JsonObject]] = {
    ("string", "text"): {"type": "string"},
    ("number", "float"): {"type": "number"},
    ("integer",): {"type": "integer"},
    ("boolean",): {"type": "boolean"},
    ("object",): {"type": "object"},
    ("array",): {"type": "array"},
    ("date", "datetime"): {"type": "string", "format": "date"},
    ("image", "audio", "video", "pdf", "excel", "document_reference"): {"type": ["string", "object"]},
}
"""By the types of an input what its default is; a moment is read too where a date is."""


class InputField(ApiRequest):
    """One input a retriever takes; keys this server does not know are kept."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "anyOf": [
                {"properties": {"type": {"enum": list(kinds)}, "default": {"anyOf": [shape, {"type": "null"}]}}}
                for kinds, shape in _DEFAULTS.items()
            ]
        },
    )

    type: FieldType
    required: bool = False
    default: Any = None
    description: str | None = None
    examples: list[Any] | None = None
    enum: list[Any] | None = None


def input_fields(fields: Mapping[str, InputField] | None) -> JsonObject | None:
    """The flat map of input fields as stored and shown."""
    return None if fields is None else {name: field.filled() for name, field in fields.items()}


class BudgetLimits(ApiRequest):
    """What one execution may cost."""

    max_credits: float | None = Field(None, ge=0)
    max_time_ms: int | None = Field(None, ge=0)


def flat_schema(raw: Any) -> Any:
    """The wrapped form ``{"type": "object", "properties": {…}}`` of an input schema as the flat map."""
    if isinstance(raw, dict) and isinstance(raw.get("properties"), dict):
        beside = {key: value for key, value in raw.items() if key != "properties"}
        if all(not isinstance(value, dict) for value in beside.values()) and "type" not in raw["properties"]:
            return raw["properties"]
    return raw


class CreateRetrieverRequest(ApiRequest):
    """``CreateRetrieverRequest``; no collections means every collection of the namespace."""

    retriever_name: str = Field(min_length=1, max_length=200, json_schema_extra=_NAME)
    description: str | None = Field(None, max_length=1_000)
    collection_identifiers: list[str] | None = None
    collection_ids: list[str] | None = None
    stages: list[Stage] = Field(min_length=1, max_length=50)
    input_schema: dict[str, InputField] | None = None
    budget_limits: BudgetLimits | None = None
    tags: list[str] | None = None
    metadata: JsonObject | None = None
    display_config: JsonObject | None = None
    visibility: Literal["private", "public", "marketplace"] = "private"
    requires_subscription: bool = False
    marketplace_listing_id: str | None = None

    _flat_schema = field_validator("input_schema", mode="before")(flat_schema)


class PatchRetrieverRequest(ApiRequest):
    """What of a retriever may change; ``stages`` replaces the list, ``input_schema`` only grows."""

    retriever_name: str | None = Field(None, min_length=1, max_length=200, json_schema_extra=_NAME)
    description: str | None = Field(None, max_length=1_000)
    collection_identifiers: list[str] | None = None
    stages: list[Stage] | None = Field(None, min_length=1, max_length=50)
    input_schema: dict[str, InputField] | None = None
    tags: list[str] | None = None
    metadata: JsonObject | None = None
    display_config: JsonObject | None = None
    visibility: Literal["private", "public", "marketplace"] | None = None
    requires_subscription: bool | None = None
    marketplace_listing_id: str | None = None

    _flat_schema = field_validator("input_schema", mode="before")(flat_schema)


class CloneRetrieverRequest(ApiRequest):
    """``CloneRetrieverRequest``: a new name, and what the copy has otherwise."""

    retriever_name: str = Field(min_length=1, max_length=200, json_schema_extra=_NAME)
    description: str | None = Field(None, max_length=1_000)
    collection_identifiers: list[str] | None = None
    collection_ids: list[str] | None = None
    stages: list[Stage] | None = Field(None, min_length=1, max_length=50)
    input_schema: dict[str, InputField] | None = None
    budget_limits: BudgetLimits | None = None
    tags: list[str] | None = None
    metadata: JsonObject | None = None
    display_config: JsonObject | None = None

    _flat_schema = field_validator("input_schema", mode="before")(flat_schema)


class StageOutput(ApiResponse):
    """A stage as it is given back: ``parameters`` mirrors ``config.parameters``."""

    stage_name: str
    stage_type: StageType
    config: JsonObject
    batch_size: str | None
    description: str | None
    on_error: str
    output_alias: str | None
    parameters: JsonObject


class RetrieverResponse(ApiResponse):
    """``RetrieverConfig`` and ``RetrieverModelOutput``."""

    retriever_id: str
    retriever_name: str
    description: str | None
    collection_ids: list[str]
    collection_identifiers: list[str]
    stages: list[StageOutput]
    input_schema: JsonObject | None
    budget_limits: JsonObject | None
    feature_dependencies: list[JsonObject]
    fusion: str | None
    tags: list[str]
    metadata: JsonObject
    display_config: JsonObject | None
    visibility: str
    requires_subscription: bool
    marketplace_listing_id: str | None
    version: int
    is_published: bool = False
    created_at: Instant
    updated_at: Instant


class PatchRetrieverResponse(ApiResponse):
    """PATCH answers with the retriever wrapped."""

    retriever: RetrieverResponse


class CloneRetrieverResponse(ApiResponse):
    """The copy, wrapped, and what it is a copy of."""

    retriever: RetrieverResponse
    source_retriever_id: str


class ListRetrieversRequest(ListRequest):
    """``ListRetrieversRequest``."""

    model_config = ConfigDict(
        json_schema_extra=sorted_by(RetrieverResponse, "id", "name", "retriever_id", "retriever_name")
    )


class ListRetrieversResponse(ApiResponse):
    """``ListRetrieversResponse``."""

    results: list[RetrieverResponse]
    total: int
    pagination: Pagination
