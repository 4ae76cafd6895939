"""A taxonomy tried out on some documents (contract 2.6)."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.api.base import ApiRequest, ApiResponse, JsonObject
from schemas.api.document import PlainDocument

Samples = Annotated[list[PlainDocument], Field(min_length=1, max_length=100)]


class JoinRequest(ApiRequest):
    """``ExecuteTaxonomyRequest``: the documents to match. The SDK's model also carries the taxonomy itself, whose
    stored version is what is matched, and fields of enrichments that are not run here."""

    source_documents: Samples
    """Fields at the root; ``document_id`` names one, ``features`` (by feature URI) are its vectors."""
    join_mode: Literal["on_demand", "batch"] = "on_demand"
    taxonomy: JsonObject | None = None
    retriever: JsonObject | None = None
    source_collection_id: str | None = None
    target_collection_id: str | None = None
    batch_size: int | None = None
    scroll_filters: JsonObject | None = None


class JoinStats(ApiResponse):
    """``JoinStats``."""

    processed_docs: int
    batches: int
    errors: int
    enriched: int


class TaxonomyMatch(ApiResponse):
    """``TaxonomyMatch``: one assignment of one document."""

    document_id: str
    taxonomy_id: str
    taxonomy_name: str
    node_id: str
    """The document of the taxonomy's collection that was matched."""
    label: str | None
    score: float | None
    path: list[str]
    """Labels of the levels, root first; of a level without one its collection."""
    hierarchy_level: int
    """0 for a root."""
    enriched_fields: list[str]


class JoinResponse(ApiResponse):
    """``JoinResponse``."""

    stats: JoinStats
    results: list[JsonObject]
    """The documents as they would be written."""
    matches: list[TaxonomyMatch]
    errors: list[JsonObject]
    """Documents that could not be matched: ``{document_id, error}`` each."""
