"""Documents over HTTP (contract 2.9, 4.4)."""

from pydantic import ConfigDict, Field

from schemas.api.base import ApiRequest, ApiResponse, JsonObject


class DocumentFeature(ApiRequest):
    """Vectors and payload of one extractor."""

    feature_extractor_id: str = Field(min_length=1)
    payload: JsonObject | None = None
    vectors: dict[str, list[float]] | None = None


class DocumentCreateRequest(ApiRequest):
    """``DocumentCreateRequest``: every further key is a field of the document."""

    model_config = ConfigDict(extra="allow")

    document_id: str | None = Field(None, min_length=1, max_length=1_024)
    collection_id: str | None = None
    metadata: JsonObject | None = None
    vectors: dict[str, list[float]] | None = None
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
        skipped = {"document_id", "collection_id", "vectors", "features", "_internal"}
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
