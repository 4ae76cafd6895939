"""Taxonomies as trees of nodes, whichever way they are written (contract 4.11)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streams.engines.retrieval.stages.parameters import FieldPath

MAX_LEVELS: Final = 10


class _Part(BaseModel):
    """A part of a taxonomy's body; what the engine does not read is left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class EnrichmentField(_Part):
    """A field to copy from the matched document."""

    field_path: FieldPath
    target_field: FieldPath | None = None
    """Without it the same path."""
    merge_mode: Literal["replace", "append"] | None = None
    """``replace`` (default) overwrites, ``append`` adds to a list."""

    @property
    def target(self) -> str:
        """Where the value goes."""
        return self.target_field or self.field_path


class InputMapping(_Part):
    """Where an input of the taxonomy's retriever comes from."""

    input_key: str = Field(min_length=1)
    source_type: Literal["payload", "literal", "vector", "blob"]
    path: str | None = None
    """A field, a feature URI, or the property of a blob."""
    override: Any = None
    """A value that stands in for whatever would be read; the value of a literal."""


InputMappings = Annotated[list[InputMapping], Field(min_length=1)]


class SourceCollection(_Part):
    """Where the documents are that others are matched against."""

    collection_id: str = Field(min_length=1)
    enrichment_fields: list[EnrichmentField] | None = None


class _Node(_Part):
    collection_id: str = Field(min_length=1)
    parent_collection_id: str | None = None
    label: str | None = None
    retriever_id: str | None = None
    enrichment_fields: list[EnrichmentField] | None = None
    input_mappings: InputMappings | None = None


class _Flat(_Part):
    retriever_id: str = Field(min_length=1)
    input_mappings: InputMappings
    source_collection: SourceCollection


class _Hierarchical(_Part):
    retriever_id: str | None = None
    input_mappings: InputMappings | None = None
    hierarchical_nodes: list[_Node] | None = None


class Node(_Part):
    """One level of a taxonomy: a collection, how it is searched, what it gives, and the nodes below."""

    collection_id: str
    label: str | None
    retriever_id: str
    input_mappings: InputMappings
    enrichment_fields: list[EnrichmentField] | None
    children: "tuple[Node, ...]" = ()


def roots(taxonomy: Mapping[str, Any]) -> list[Node]:
    """The top nodes of a taxonomy, given by its body (with ``config``) or its config alone; a flat taxonomy is one
    node. Raises ``ValueError`` in words for a body that is none, or whose nodes are no tree."""
    config = taxonomy.get("config", taxonomy)
    try:
        if isinstance(config, Mapping) and config.get("taxonomy_type", "flat") == "flat":
            flat = _Flat.model_validate(config)
            source = flat.source_collection
            return [
                Node(
                    collection_id=source.collection_id,
                    label=None,
                    retriever_id=flat.retriever_id,
                    input_mappings=flat.input_mappings,
                    enrichment_fields=source.enrichment_fields,
                )
            ]
        return _tree(_Hierarchical.model_validate(config))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "config"
        raise ValueError(f"{where}: {first['msg']}") from error


def _tree(config: _Hierarchical) -> list[Node]:
    if not config.hierarchical_nodes:
        raise ValueError("hierarchical_nodes: levels are matched by nodes that are written out, there are none")
    nodes = {node.collection_id: node for node in config.hierarchical_nodes}
    if len(nodes) != len(config.hierarchical_nodes):
        raise ValueError("hierarchical_nodes: a collection is a node once")
    below: dict[str | None, list[_Node]] = {}
    for node in config.hierarchical_nodes:
        if node.parent_collection_id is not None and node.parent_collection_id not in nodes:
            raise ValueError(f"hierarchical_nodes: the parent {node.parent_collection_id!r} is no node")
        below.setdefault(node.parent_collection_id, []).append(node)

    def built(node: _Node, level: int) -> Node:
        if level > MAX_LEVELS:
            raise ValueError(f"hierarchical_nodes: there are more than {MAX_LEVELS} levels")
        retriever_id = node.retriever_id or config.retriever_id
        mappings = node.input_mappings or config.input_mappings
        if retriever_id is None or mappings is None:
            raise ValueError(f"hierarchical_nodes: {node.collection_id} has no retriever_id or no input_mappings")
        children = tuple(built(child, level + 1) for child in below.get(node.collection_id, ()))
        return Node(
            collection_id=node.collection_id,
            label=node.label,
            retriever_id=retriever_id,
            input_mappings=mappings,
            enrichment_fields=node.enrichment_fields,
            children=children,
        )

    tops = [built(node, 1) for node in below.get(None, ())]
    if len(every(tops)) != len(nodes):
        raise ValueError("hierarchical_nodes: some nodes are their own ancestors")
    return tops


def every(nodes: Sequence[Node]) -> list[Node]:
    """All nodes, those above before those below."""
    return [found for node in nodes for found in (node, *every(node.children))]
