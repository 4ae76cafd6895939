"""Taxonomies: documents are matched against the documents of other collections and given their fields
(contract 2.6, 4.11)."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, ValidatorFunctionWrapHandler, field_validator, model_validator
from pydantic_core import PydanticCustomError

from schemas.api.base import ApiRequest, ApiResponse, Instant, JsonObject, having, problem
from schemas.api.names import name_shape
from schemas.api.pages import ListRequest, Pagination, sorted_by
from schemas.api.target import TARGET, check_target

Identifier = Annotated[str, Field(min_length=1, max_length=200)]


_NAME: Final = name_shape("taxonomy")


class EnrichmentField(ApiRequest):
    """A field to copy from the matched document."""

    field_path: str = Field(min_length=1, json_schema_extra=TARGET)
    target_field: str | None = Field(None, min_length=1, json_schema_extra=TARGET)
    merge_mode: Literal["replace", "append"] | None = None

    @model_validator(mode="after")
    def _can_be_written(self) -> Self:
        check_target(self.target_field or self.field_path, "target_field")
        return self


class InputMapping(ApiRequest):
    """Where an input of the retriever comes from: a field, a constant, a vector or a blob of the document."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                having("override"),
                {"properties": {"source_type": {"enum": ["payload", "vector", "blob", None]}}},
            ]
        }
    )

    input_key: str = Field(min_length=1)
    source_type: Literal["payload", "literal", "vector", "blob"] = "payload"
    path: str | None = Field(None, min_length=1)
    override: Any = None

    @model_validator(mode="after")
    def _has_a_value(self) -> Self:
        if self.source_type == "literal" and self.override is None:
            raise problem("a literal needs its value", "override", kind="missing")
        return self


InputMappings = Annotated[list[InputMapping], Field(min_length=1, max_length=100)]
EnrichmentFields = Annotated[list[EnrichmentField], Field(min_length=1, max_length=1_000)]


class SourceCollection(ApiRequest):
    """Where the documents are that others are matched against."""

    collection_id: Identifier
    enrichment_fields: EnrichmentFields | None = None


class HierarchicalNode(ApiRequest):
    """One level: without a parent a root, without a retriever or mappings those of the taxonomy."""

    collection_id: Identifier
    parent_collection_id: Identifier | None = None
    label: str | None = Field(None, max_length=200)
    summary: str | None = Field(None, max_length=10_000)
    keywords: list[str] | None = Field(None, max_length=1_000)
    retriever_id: Identifier | None = None
    enrichment_fields: EnrichmentFields | None = None
    input_mappings: InputMappings | None = None


class FlatConfig(ApiRequest):
    """One collection, one retriever."""

    taxonomy_type: Literal["flat"] = "flat"
    retriever_id: Identifier
    input_mappings: InputMappings
    source_collection: SourceCollection
    top_k: int = Field(1, ge=1, le=50)
    step_analytics: JsonObject | None = None


def _somewhere(name: str) -> JsonObject:
    """The taxonomy has it, or every node."""
    return {"anyOf": [having(name), {"properties": {"hierarchical_nodes": {"items": having(name)}}}]}


class HierarchicalConfig(ApiRequest):
    """A tree of collections. What infers one is declared here and is for the server to refuse."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                having("hierarchical_nodes", hierarchical_nodes={"minItems": 1}),
                _somewhere("retriever_id"),
                _somewhere("input_mappings"),
            ]
        }
    )

    taxonomy_type: Literal["hierarchical"] = "hierarchical"
    retriever_id: Identifier | None = None
    input_mappings: InputMappings | None = None
    hierarchical_nodes: Annotated[list[HierarchicalNode], Field(max_length=1_000)] | None = None
    inference_strategy: Literal["schema", "cluster", "llm"] | None = None
    inference_collections: list[str] | None = None
    llm_provider: str | None = None
    llm_model: str | None = None
    llm_prompt_template: str | None = None
    llm_sample_size: int | None = None
    cluster_ids: list[str] | None = None
    cluster_overlap_threshold: float = Field(0.7, ge=0, le=1)
    path_field: str | None = None
    path_separator: str = Field("/", min_length=1)
    step_analytics: JsonObject | None = None


Config = FlatConfig | HierarchicalConfig


class CreateTaxonomyRequest(ApiRequest):
    """``CreateTaxonomyRequest``; a config that does not say its type is flat when it has a source collection."""

    taxonomy_name: str = Field(min_length=1, max_length=200, json_schema_extra=_NAME)
    description: str | None = Field(None, max_length=1_000)
    config: Config
    metadata: JsonObject | None = None

    @field_validator("config", mode="wrap")
    @classmethod
    def _by_type(cls, raw: Any, handler: ValidatorFunctionWrapHandler) -> Config:
        if isinstance(raw, FlatConfig | HierarchicalConfig):
            return raw
        if not isinstance(raw, dict):
            raise PydanticCustomError("dict_type", "Input should be an object")
        kind = raw.get("taxonomy_type") or ("flat" if "source_collection" in raw else "hierarchical")
        # Of the two models only the one that is meant says what is wrong.
        return (FlatConfig if kind == "flat" else HierarchicalConfig).model_validate(raw)


class PatchTaxonomyRequest(ApiRequest):
    """What of a taxonomy may change. How it matches is fixed: another way of matching is another taxonomy."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [having(name) for name in ("taxonomy_name", "description", "metadata")]}
    )

    taxonomy_name: str | None = Field(None, min_length=1, max_length=200, json_schema_extra=_NAME)
    description: str | None = Field(None, max_length=1_000)
    metadata: JsonObject | None = None


class CloneTaxonomyRequest(ApiRequest):
    """``CloneTaxonomyRequest``: a new name, and what the copy has otherwise."""

    taxonomy_name: str = Field(min_length=1, max_length=200, json_schema_extra=_NAME)
    description: str | None = Field(None, max_length=1_000)
    config: JsonObject | None = None


class TaxonomyResponse(ApiResponse):
    """``TaxonomyResponse``."""

    taxonomy_id: str
    version: int
    taxonomy_name: str
    description: str | None
    retriever_id: str | None
    input_mappings: list[JsonObject] | None
    config: JsonObject
    """Always with ``taxonomy_type``, which tells the two kinds apart."""
    nodes: list[JsonObject] | None
    """Of a hierarchy found in a field of the documents; null for those whose nodes are in ``config``."""
    ready: bool
    metadata: JsonObject
    created_at: Instant
    updated_at: Instant


class CloneTaxonomyResponse(ApiResponse):
    """The copy, wrapped, and what it is a copy of."""

    taxonomy: TaxonomyResponse
    source_taxonomy_id: str


class ListTaxonomiesRequest(ListRequest):
    """``ListTaxonomiesRequest``."""

    model_config = ConfigDict(
        json_schema_extra=sorted_by(TaxonomyResponse, "id", "name", "taxonomy_id", "taxonomy_name")
    )


class ListTaxonomiesResponse(ApiResponse):
    """``ListTaxonomiesResponse``."""

    results: list[TaxonomyResponse]
    pagination: Pagination
    total_count: int
