"""Namespaces (contract 2.7)."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from schemas.api.base import ApiRequest, ApiResponse, Instant, JsonObject
from schemas.api.names import name_shape
from schemas.api.pages import ListRequest, Pagination, sorted_by

NAMESPACE_ID = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$"
NamespaceName = Annotated[str, Field(min_length=3, max_length=64, json_schema_extra=name_shape("namespace"))]


class VectorConfig(ApiRequest):
    """One vector of a namespace whose vectors the caller brings."""

    name: str = Field(min_length=1, max_length=255)
    dimension: int = Field(ge=1, le=65_536)
    metric: str = "cosine"


class PayloadIndex(ApiRequest):
    """A declared payload index; kept, every field is filterable without one."""

    field_name: str = Field(min_length=1, max_length=255)
    type: Literal["keyword", "integer", "float", "bool", "geo", "datetime", "text", "uuid"]
    field_schema: Any = None
    is_protected: bool = False


class NamespaceExtractor(ApiRequest):
    """A feature extractor named for a namespace; kept."""

    feature_extractor_name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    params: JsonObject | None = None


class _VendorSettings(ApiRequest):
    """Settings of the vendor's own infrastructure: accepted and ignored."""

    auto_create_indexes: Any = None
    adaptive_indexing: Any = None
    infrastructure: Any = None
    trusted_issuers: Any = None
    tiering: Any = None
    spend_budget: Any = None
    cost_cap_override: Any = None


class CreateNamespaceRequest(_VendorSettings):
    """``CreateNamespaceRequest``. Settings of the vendor's own infrastructure are accepted and ignored."""

    namespace_name: NamespaceName
    namespace_id: str | None = Field(None, pattern=NAMESPACE_ID)
    mode: Literal["managed", "standalone"] = "managed"
    namespace_type: Literal["standard", "marketplace"] = "standard"
    description: str | None = Field(None, max_length=1_000)
    features: list[str] | None = None
    feature_extractors: list[NamespaceExtractor] | None = None
    vector_configs: list[VectorConfig] | None = None
    payload_indexes: list[PayloadIndex] | None = None
    ttl_seconds: int | None = Field(None, ge=60)
    scope: Any = None


class PatchNamespaceRequest(_VendorSettings):
    """Fields of a namespace that may change; also the body of PUT. Settings of the vendor's own infrastructure
    are accepted and ignored, as when a namespace is created."""

    namespace_name: NamespaceName | None = None
    description: str | None = Field(None, max_length=1_000)
    feature_extractors: list[NamespaceExtractor] | None = None
    payload_indexes: list[PayloadIndex] | None = None
    ttl_seconds: int | None = Field(None, ge=60)
    expires_at: Any = None
    pinned: Any = None
    repair_vectors: Any = None


class CreateStandaloneRequest(ApiRequest):
    """``CreateStandaloneNamespaceRequestModel``; the high-level client leaves the id out and gives a name.
    Settings of the vendor's own infrastructure are accepted and ignored."""

    namespace_id: str | None = Field(None, pattern=NAMESPACE_ID)
    namespace_name: NamespaceName | None = None
    description: str | None = Field(None, max_length=1_000)
    vector_configs: list[VectorConfig] | None = None
    payload_indexes: list[PayloadIndex] | None = None
    storage: Any = None
    config: Any = None
    auto_create_indexes: Any = None


class StandaloneResponse(ApiResponse):
    """``StandaloneNamespaceResponseModel``."""

    namespace_id: str
    namespace_name: str
    mode: Literal["standalone"] = "standalone"
    status: Literal["active"] = "active"
    vector_configs: list[JsonObject] | None
    tiering: Literal["auto"] = "auto"
    document_count: int = 0


class NamespaceResponse(ApiResponse):
    """``NamespaceModel``."""

    object: Literal["namespace"] = "namespace"
    namespace_id: str
    namespace_name: str
    namespace_type: str
    description: str | None
    feature_extractors: list[JsonObject] | None
    payload_indexes: list[JsonObject] | None
    mode: str
    vector_configs: list[JsonObject] | None
    document_count: int
    collection_count: int
    namespace_ready: bool = True
    created_at: Instant
    updated_at: Instant


class ListNamespacesRequest(ListRequest):
    """``ListNamespacesRequest``."""

    model_config = ConfigDict(
        json_schema_extra=sorted_by(NamespaceResponse, "id", "name", "namespace_id", "namespace_name")
    )


class ListNamespacesResponse(ApiResponse):
    """``ListNamespacesResponse``."""

    results: list[NamespaceResponse]
    pagination: Pagination
    total_count: int
