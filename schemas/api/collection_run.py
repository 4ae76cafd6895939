"""A collection made again from what feeds it (contract 2.8)."""

from typing import Literal

from pydantic import Field

from schemas.api.actions import DedupStrategy, Identifiers
from schemas.api.base import ApiRequest, ApiResponse, JsonObject


class TriggerCollectionRequest(ApiRequest):
    """``TriggerCollectionRequest``: which documents of which sources; without any, all of all."""

    include_buckets: Identifiers | None = None
    include_collections: Identifiers | None = None
    object_ids: list[str] | None = Field(None, max_length=10_000)
    """Ids of documents of the sources."""
    source_filters: JsonObject | None = None
    dedup_strategy: DedupStrategy | None = None
    reembed: Literal[False] | None = None
    """Nothing is embedded here."""


class TriggerCollectionResponse(ApiResponse):
    """``TriggerCollectionResponse``. The run is a task, and a batch that can be run again."""

    task_id: str
    batch_id: str
    collection_id: str
    source_collection_ids: list[str]
    document_count: int
    """Documents that the sources hold, before filters."""
    total_tiers: int
    message: str
