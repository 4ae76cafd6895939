"""Documents with vectors of the caller's own, many at once (contract 2.7)."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from schemas.api.base import ApiRequest, ApiResponse, JsonObject, as_whole
from schemas.api.document import MAX_BATCH, Component, NewDocumentId
from schemas.features import MAX_DIMENSIONS

Numbers = Annotated[list[Component], Field(min_length=1, max_length=MAX_DIMENSIONS)]
Rows = Annotated[list[Numbers], Field(min_length=1)]


Index = Annotated[int, Field(ge=0, lt=1 << 32), BeforeValidator(as_whole)]
"""A dimension. Its bounds come first: behind a validator the schema would not have them."""


class SparseVector(ApiRequest):
    """Some dimensions of a vector; the others are zero."""

    indices: list[Index] = Field(max_length=16_000)
    values: list[float] = Field(max_length=16_000)

    @property
    def contradiction(self) -> str | None:
        """What its two parts have against each other."""
        if len(self.indices) != len(self.values):
            return "there are as many indices as values"
        return "no index is there twice" if len(set(self.indices)) < len(self.indices) else None


class UpsertDocument(ApiRequest):
    """``BYODocument``."""

    document_id: NewDocumentId
    vectors: dict[Annotated[str, Field(min_length=1, max_length=255)], Numbers | Rows | SparseVector]
    payload: JsonObject | None = None
    metadata: JsonObject | None = None
    acl: JsonObject | None = None
    source_type: str | None = None
    root_object_id: str | None = None
    root_bucket_id: str | None = None
    source_object_id: str | None = None
    source_document_id: str | None = None
    source_collection_id: str | None = None
    lineage_path: str | None = None
    lineage_chain: list[JsonObject] | None = None
    content_hash: str | None = None


class UpsertOptions(ApiRequest):
    """``UpsertOptions``."""

    write_token: bool = False
    idempotency_key: str | None = Field(None, min_length=1, max_length=255)


class UpsertRequest(ApiRequest):
    """``BYOUpsertRequest``."""

    collection_id: str | None = Field(None, min_length=1, max_length=100)
    documents: list[UpsertDocument] = Field(max_length=MAX_BATCH)
    options: UpsertOptions | None = None


class WriteConsistency(ApiResponse):
    """``WriteConsistency``: when a write is found."""

    retriever_visible: Literal["eventual"] = "eventual"
    recommended_header: str | None = None
    write_token_available: bool
    expected_visible_within_ms: int = 1_000


class UpsertResponse(ApiResponse):
    """``BYOUpsertResponse``."""

    inserted: int
    document_ids: list[str]
    write_token: str | None
    dropped_payload_fields: dict[str, list[str]] = Field(default_factory=dict)
    unsearchable_document_ids: list[str]
    consistency: WriteConsistency
    warnings: list[str] | None

    @classmethod
    def stored(cls, answer: Any) -> "UpsertResponse":
        """An answer that was kept."""
        return cls.model_validate(answer)
