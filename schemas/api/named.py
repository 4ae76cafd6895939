"""Other definitions that retrievers and taxonomies name, by id or name. Client and server use the same rules."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from schemas.api.base import JsonObject

NamedKind: TypeAlias = Literal["collection", "retriever", "taxonomy"]
_UNSET: Final = "null"
"""What the SDK sends for an optional id that is not given."""


class NamedIn(NamedTuple):
    """A place that names others: ``holder[key]`` is one identifier or a list of them."""

    holder: JsonObject
    key: str
    kind: NamedKind

    @property
    def names(self) -> list[str]:
        """What is named here."""
        value = self.holder[self.key]
        return list(value) if isinstance(value, list) else [value]

    def put(self, identifiers: list[str]) -> None:
        """Name these instead; the same one twice is named once."""
        several = isinstance(self.holder[self.key], list)
        self.holder[self.key] = list(dict.fromkeys(identifiers)) if several else identifiers[0]


def named_by_stages(stages: Iterable[Any]) -> Iterator[NamedIn]:
    """What the stages of a retriever name. Templates, and parameters of the wrong form, name nothing."""
    for stage in stages:
        if not isinstance(stage, Mapping):
            continue
        nested = stage.get("config")
        config = nested if isinstance(nested, Mapping) else stage
        parameters = config.get("parameters")
        if not isinstance(parameters, dict):
            continue
        yield from _at(parameters, "collection_identifiers", "collection")
        for key, asked in (("searches", "query"), ("feature_uris", "input")):
            searches = parameters.get(key)
            for search in searches if isinstance(searches, list) else ():
                if isinstance(search, dict):
                    yield from _at(search, "collection_identifiers", "collection")
                    query = search.get(asked)
                    document = query.get("document_ref") if isinstance(query, dict) else None
                    if isinstance(document, dict):
                        yield from _at(document, "collection_id", "collection")
        if config.get("stage_id") == "taxonomy_enrich":
            yield from _at(parameters, "taxonomy_id", "taxonomy")
        if config.get("stage_id") == "document_enrich":
            for key in ("target_collection_id", "collection_id"):
                yield from _at(parameters, key, "collection")
            yield from _at(parameters, "retriever_id", "retriever")
            inner = parameters.get("retriever_config")
            if isinstance(inner, dict):
                yield from _at(inner, "collection_identifiers", "collection")
                yield from named_by_stages(inner["stages"] if isinstance(inner.get("stages"), list) else ())


def named_by_taxonomy(config: JsonObject) -> Iterator[NamedIn]:
    """What the config of a taxonomy names."""
    yield from _at(config, "retriever_id", "retriever")
    source = config.get("source_collection")
    if isinstance(source, dict):
        yield from _at(source, "collection_id", "collection")
    nodes = config.get("hierarchical_nodes")
    for node in nodes if isinstance(nodes, list) else ():
        if isinstance(node, dict):
            for key in ("collection_id", "parent_collection_id"):
                yield from _at(node, key, "collection")
            yield from _at(node, "retriever_id", "retriever")


def _at(holder: JsonObject, key: str, kind: NamedKind) -> Iterator[NamedIn]:
    value = holder.get(key)
    names = value if isinstance(value, list) else [value]
    if names and all(isinstance(name, str) and name and name != _UNSET and "{{" not in name for name in names):
        yield NamedIn(holder, key, kind)
