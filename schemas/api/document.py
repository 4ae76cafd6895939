"""Documents over HTTP (contract 2.9, 4.4)."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, WithJsonSchema, model_validator

from schemas.api.base import CONFLICT, ApiRequest, ApiResponse, JsonObject, having, problem
from schemas.api.filters import PATH, Filter
from schemas.api.names import document_id_shape
from schemas.api.pages import ListRequest, Pagination
from schemas.features import MAX_DIMENSIONS

MAX_BATCH = 1_000
"""Documents that one request names, at most."""
Component = Annotated[float, Field(ge=-3.4e38, le=3.4e38)]
"""One number of a vector: what 32 bits hold."""
Components = Annotated[list[Component], Field(min_length=1, max_length=MAX_DIMENSIONS)]
DocumentId = Annotated[str, Field(min_length=1, max_length=1_024)]
NewDocumentId = Annotated[DocumentId, Field(json_schema_extra=document_id_shape())]
FieldPath = Annotated[str, Field(min_length=1, max_length=1_024, json_schema_extra={"pattern": PATH["pattern"]})]


_IDENTITY: JsonObject = {
    "anyOf": [{"type": ["integer", "null"]}, {"type": "string", "minLength": 1, "maxLength": 1_024}]
}
PlainDocument = Annotated[JsonObject, Field(json_schema_extra={"properties": {"document_id": _IDENTITY}})]
"""A document given whole, its fields at the root."""


class DocumentFeature(ApiRequest):
    """Vectors and payload of one extractor."""

    feature_extractor_id: str = Field(min_length=1)
    payload: JsonObject | None = None
    vectors: dict[str, Components] | None = None


_OCCURRED: JsonObject = {
    "anyOf": [
        {"type": ["number", "boolean", "null", "array", "object"]},
        {"type": "string", "format": "date-time"},
    ]
}
"""When it occurred; of another type it is a field like others."""


_THE_SAME: JsonObject = {"type": "null"}
"""Of the path, which no schema can say; so it is left out."""
_COMPONENTS: JsonObject = {
    "type": "array",
    "minItems": 1,
    "maxItems": MAX_DIMENSIONS,
    "items": {"type": "number", "minimum": -3.4e38, "maximum": 3.4e38},
}
DocumentChange = Annotated[
    JsonObject,
    WithJsonSchema(
        {
            "type": "object",
            "title": "DocumentChange",
            "description": "Fields of the document, `null` removes one of `metadata`; its ids stay as they are.",
            "properties": {
                "document_id": _THE_SAME,
                "collection_id": _THE_SAME,
                "metadata": {"type": ["object", "null"]},
                "occurred_at": _OCCURRED,
                "vectors": {"type": ["object", "null"], "additionalProperties": _COMPONENTS},
                "features": {"type": "null"},
            },
            "propertyNames": {"pattern": r"^[^.\x00]*(\.[^.\x00]*){0,31}$"},
            "additionalProperties": True,
        }
    ),
]
"""What becomes of a document's fields."""


class DocumentCreateRequest(ApiRequest):
    """``DocumentCreateRequest``: every further key is a field of the document."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"properties": {"occurred_at": _OCCURRED}})

    document_id: NewDocumentId | None = None
    collection_id: str | None = Field(None, json_schema_extra=_THE_SAME)
    """The collection of the path, or nothing."""
    metadata: JsonObject | None = None
    vectors: dict[str, Components] | None = None
    features: list[DocumentFeature] | None = None
    content_hash: str | None = None
    root_object_id: str | None = None
    root_bucket_id: str | None = None
    source_type: str | None = None
    source_collection_id: str | None = None
    source_document_id: str | None = None
    source_object_id: str | None = None
    lineage_path: str | None = None
    lineage_chain: list[JsonObject] | None = None

    def fields(self) -> JsonObject:
        """The document's own fields: everything sent but ids and vectors."""
        skipped = {"document_id", "collection_id", "vectors", "features", "_internal", "_vectors"}
        return {name: value for name, value in self.given().items() if name not in skipped}


class DocumentResponse(ApiResponse):
    """``DocumentResponse``: the document's fields stand at the root beside these."""

    model_config = ConfigDict(extra="allow")

    document_id: str
    collection_id: str
    internal: JsonObject = Field(serialization_alias="_internal")
    searchable_at: str | None = None


class CountResponse(ApiResponse):
    """How many documents a collection holds."""

    collection_id: str
    count: int


class DeletedResponse(ApiResponse):
    """What a synchronous delete answers."""

    message: str = "Successfully deleted"
    success: bool = True


class ListPartition(ApiRequest):
    """One of ``count`` disjoint parts of a list, split by document id."""

    index: int = Field(ge=0)
    count: int = Field(ge=1, le=256)

    @model_validator(mode="after")
    def _within(self) -> "ListPartition":
        if self.index >= self.count:
            raise problem("index must be less than count", "index", kind=CONFLICT)
        return self


class GroupBy(ApiRequest):
    """The object form of ``group_by``."""

    field: FieldPath


class ListDocumentsRequest(ListRequest):
    """``ListDocumentsRequest``."""

    partition: ListPartition | None = None
    return_presigned_urls: bool = False
    return_vectors: bool = False
    return_vector_names: bool | list[str] | None = None
    group_by: FieldPath | GroupBy | None = None
    select: list[FieldPath] | None = Field(None, max_length=100)
    expand: list[FieldPath] | None = Field(None, max_length=50)

    @property
    def group_by_field(self) -> str | None:
        """The path to group by."""
        return self.group_by.field if isinstance(self.group_by, GroupBy) else self.group_by


class NamespaceListDocumentsRequest(ListDocumentsRequest):
    """``NamespaceListDocumentsRequest``: a list over several collections, all where none is named."""

    collection_ids: list[str] | None = None
    collection_id: str | None = None
    collections: list[str] | None = None

    @property
    def named(self) -> list[str] | None:
        """Ids or names of the collections asked for."""
        named = [*(self.collection_ids or ()), *(self.collections or ())]
        if self.collection_id is not None:
            named.append(self.collection_id)
        return named if named or self.collection_ids is not None or self.collections is not None else None


class DocumentGroup(ApiResponse):
    """Documents that share a value."""

    group_key: Any
    documents: list[DocumentResponse]
    count: int


class DocumentListStats(ApiResponse):
    """Figures of a list."""

    total_documents: int | None
    avg_blobs_per_document: float = 0.0
    total_groups: int | None = None
    avg_documents_per_group: float | None = None


class ListDocumentsResponse(ApiResponse):
    """``ListDocumentsResponse``."""

    results: list[DocumentResponse] | None
    groups: list[DocumentGroup] | None = None
    unknown_collection_ids: list[str] | None = None
    pagination: Pagination
    total_documents: int | None
    stats: DocumentListStats | None
    warnings: list[str] | None
    group_by_field: str | None = None


class BatchListQuery(ApiRequest):
    """One list of several."""

    key: str = Field(min_length=1, max_length=128)
    request: NamespaceListDocumentsRequest


class BatchListDocumentsRequest(ApiRequest):
    """Several lists at once."""

    queries: list[BatchListQuery] = Field(min_length=1, max_length=10)


class BatchListResult(ApiResponse):
    """The answer of one of them, or why there is none."""

    key: str
    response: ListDocumentsResponse | None
    error: str | None


class BatchListDocumentsResponse(ApiResponse):
    """``BatchListDocumentsResponse``, in the order of the queries."""

    results: list[BatchListResult]


class BatchGetRequest(ApiRequest):
    """``BatchGetDocumentsRequest``."""

    document_ids: list[DocumentId] = Field(min_length=1, max_length=MAX_BATCH)
    return_presigned_urls: bool = True


class BatchGetResponse(ApiResponse):
    """``BatchGetDocumentsResponse``."""

    documents: list[DocumentResponse]
    not_found: list[str]


class DocumentUpdate(ApiRequest):
    """A change of one document."""

    document_id: DocumentId
    update_data: DocumentChange


class BatchUpdateRequest(ApiRequest):
    """``BatchUpdateDocumentsRequest``: a change for each of some documents, or one for all that fit a filter."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                having("updates", filters={"type": "null"}, update_data={"type": "null"}),
                having("filters", "update_data", updates={"type": "null"}),
            ]
        }
    )

    updates: list[DocumentUpdate] | None = Field(None, min_length=1, max_length=MAX_BATCH)
    filters: Filter | None = None
    update_data: DocumentChange | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "BatchUpdateRequest":
        if (self.updates is None) == (self.filters is None):
            raise problem("give either updates or filters with update_data", "updates")
        if (self.filters is None) != (self.update_data is None):
            raise problem("update_data goes with filters, and filters with it", "update_data")
        return self


class BatchResult(ApiResponse):
    """What became of one document."""

    document_id: str
    success: bool
    error: str | None = None


class BatchUpdateResponse(ApiResponse):
    """``BatchUpdateDocumentsResponse``."""

    updated_count: int
    failed_count: int = 0
    results: list[BatchResult] | None
    task_id: str | None = None
    status: str | None = None
    message: str = "Batch update completed"


class BatchDeleteRequest(ApiRequest):
    """``BatchDeleteDocumentsRequest``: some documents, or all that fit a filter."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                having("document_ids", filters={"type": "null"}),
                having("filters", document_ids={"type": "null"}),
            ]
        }
    )

    document_ids: list[DocumentId] | None = Field(None, min_length=1, max_length=MAX_BATCH)
    filters: Filter | None = None
    reason: str | None = Field(None, max_length=500)

    @model_validator(mode="after")
    def _one_way(self) -> "BatchDeleteRequest":
        if (self.document_ids is None) == (self.filters is None):
            raise problem("give either document_ids or filters", "document_ids")
        return self


class BatchDeleteResponse(ApiResponse):
    """``BatchDeleteDocumentsResponse``."""

    deleted_count: int | None
    failed_count: int = 0
    results: list[BatchResult] | None
    task_id: str | None = None
    status: str | None = None
    limits: dict[str, int] | None = None
    message: str = "Batch delete completed"


class BulkUpdateRequest(ApiRequest):
    """``BulkUpdateDocumentsRequest``: without filters every document of the collection."""

    filters: Filter | None = None
    update_data: DocumentChange


class BulkUpdateResponse(ApiResponse):
    """``BulkUpdateDocumentsResponse``."""

    updated_count: int | None
    task_id: str | None = None
    status: str | None = None
    message: str
