"""Taxonomies as trees of nodes, whichever way they are written (contract 4.11)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streams.engines.retrieval.stages.parameters import FieldPath

MAX_LEVELS: Final = 10


class TaxonomyError(ValueError):
    """A taxonomy that cannot be matched: what is wrong, and where in its config; ``contradicts`` says that another
    part of it speaks against that one."""

    def __init__(self, message: str, *where: str | int, contradicts: bool = False) -> None:
        text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where).removeprefix(".")
        super().__init__(f"{text}: {message}" if text else message)
        self.where = where
        self.contradicts = contradicts


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
    node. Raises :class:`TaxonomyError` for a body that is none, or whose nodes are no tree."""
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
        raise TaxonomyError(first["msg"], *(first["loc"] or ("config",))) from error


def _tree(config: _Hierarchical) -> list[Node]:
    if not config.hierarchical_nodes:
        message = "levels are matched by nodes that are written out, there are none"
        raise TaxonomyError(message, "hierarchical_nodes")
    numbers: dict[str, int] = {}
    for number, node in enumerate(config.hierarchical_nodes):
        if numbers.setdefault(node.collection_id, number) != number:
            where = ("hierarchical_nodes", number, "collection_id")
            raise TaxonomyError("a collection is a node once", *where, contradicts=True)
    below: dict[str | None, list[_Node]] = {}
    for number, node in enumerate(config.hierarchical_nodes):
        parent = node.parent_collection_id
        if parent is not None and parent not in numbers:
            where = ("hierarchical_nodes", number, "parent_collection_id")
            raise TaxonomyError(f"the parent {parent!r} is no node", *where, contradicts=True)
        below.setdefault(parent, []).append(node)

    def built(node: _Node, level: int) -> Node:
        where = ("hierarchical_nodes", numbers[node.collection_id])
        if level > MAX_LEVELS:
            raise TaxonomyError(f"there are more than {MAX_LEVELS} levels", *where, contradicts=True)
        retriever_id = node.retriever_id or config.retriever_id
        mappings = node.input_mappings or config.input_mappings
        if retriever_id is None or mappings is None:
            missing = "retriever_id" if retriever_id is None else "input_mappings"
            raise TaxonomyError("neither the node nor the taxonomy has it", *where, missing)
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
    reached = {node.collection_id for node in every(tops)}
    for name, number in numbers.items():
        if name not in reached:
            where = ("hierarchical_nodes", number, "parent_collection_id")
            raise TaxonomyError(f"{name!r} is its own ancestor, or below one that is", *where, contradicts=True)
    return tops


def every(nodes: Sequence[Node]) -> list[Node]:
    """All nodes, those above before those below."""
    return [found for node in nodes for found in (node, *every(node.children))]
