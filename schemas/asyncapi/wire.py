"""What the hand-written codecs write, as models that describe it and read nothing.

``tests/schemas/test_asyncapi.py`` holds them to the codecs: whatever a codec writes is valid here.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.events.definition import Kind
from schemas.events.document import MAX_ID_LENGTH, EventType
from schemas.features import MAX_DIMENSIONS
from schemas.times import TimeDomain

Text = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH, pattern=r"^[^\x00]+$")]
Identifier = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH, pattern=r"^[^/\x00]+$")]
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Whole = Annotated[int, Field(ge=0)]


class PackedVector(BaseModel):
    """A vector as little-endian float32 in base64."""

    f32: Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]


Numbers = Annotated[list[float], Field(min_length=1, max_length=MAX_DIMENSIONS)]


class DocumentEvent(BaseModel):
    """One thing that happened to one document. Fields that are not known are kept."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "anyOf": [
                {"required": ["document_id"]},
                {"required": ["type", "occurred_at"], "properties": {"type": {"const": "watermark"}}},
            ]
        },
    )

    type: EventType = "document.upserted"
    event_id: str | None = None
    namespace_id: Identifier
    collection_id: Identifier
    document_id: Text | None = None
    occurred_at: Instant | None = None
    payload: Any = None
    text: str | None = None
    asset_id: str | None = None
    features: dict[str, Numbers | PackedVector] | None = None


class CloudEvent(BaseModel):
    """A document event as a CloudEvent in structured mode; ``type`` ends in one of the document event's."""

    model_config = ConfigDict(extra="allow")

    specversion: str
    type: Annotated[str, Field(pattern=r"(^|\.)(document\.upserted|document\.deleted|watermark)$")]
    source: Annotated[str, Field(min_length=1)]
    id: Annotated[str, Field(min_length=1)]
    time: Instant | None = None
    subject: str | None = None
    data: dict[str, Any]


class Definition(BaseModel):
    """A definition as it stands at a version, or that it is gone."""

    kind: Kind
    namespace_id: str
    id: str
    number: Whole
    epoch: Annotated[str, Field(min_length=1)]
    version: Whole
    name: str | None = None
    deleted: Literal[True] | None = None
    body: dict[str, Any] | None = None

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["deleted"]}, {"required": ["body"]}]},
    )


class AlertExecution(BaseModel):
    """One alert that fired on the record's document, or that was decided without one."""

    execution_id: Annotated[str, Field(pattern="^exec_[0-9a-f]{25,}$")]
    number: Whole
    alert_id: str
    alert_version: Whole
    retriever_id: str
    score: float
    reason: str
    matched_features: dict[str, float] | None = None
    match_count: Whole | None = None
    matches: list[dict[str, Any]] | None = None
    reference_position: dict[str, Whole] | None = None
    triggered: bool | None = None
    held: str | None = None


class Contribution(BaseModel):
    """What a document adds to a window of an alert."""

    alert_id: str
    series: str
    step_seconds: Annotated[int, Field(ge=1)]
    time_domain: TimeDomain
    documents: Whole
    score: float
    values: list[int | float] | None = None
    late_at: Instant | None = None


class AlertResult(BaseModel):
    """What one document event set off: the document part once, then every execution."""

    base: Annotated[str, Field(pattern="^[0-9a-f]{24}$")]
    namespace_id: str
    collection_id: str
    source_documents: Annotated[list[str], Field(max_length=1)]
    position: tuple[str, int, int]
    """Topic, partition and offset of the document's record."""
    appended_at: Instant
    occurred_at: Instant
    executed_at: Instant
    duration_ms: Whole
    definitions_version: Whole
    executions: list[AlertExecution]
    keyed: bool | None = None
    asset_id: str | None = None
    caused_by: list[str] | None = None
    truncated: bool | None = None
    contributions: list[Contribution] | None = None
    document: dict[str, Any] | None = None
