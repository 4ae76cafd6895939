"""Names that resources may have, as schemas: a path can carry them, none is a word of the API (contract 1.1)."""

from typing import Final

from schemas.api.base import JsonObject

RESERVED: Final[dict[str, frozenset[str]]] = {
    "namespace": frozenset(("list", "standalone", "migrations", "stats")),
    "collection": frozenset(("list", "features", "import")),
    "retriever": frozenset(
        (
            *("execute", "executions", "list", "stages", "typeahead"),
            *("benchmarks", "evaluations", "interactions", "publish", "published"),
        )
    ),
    "alert": frozenset(("executions", "list")),
    "cluster": frozenset(("triggers", "list")),
    "taxonomy": frozenset(("list", "execute", "from-documents")),
    "document": frozenset(("list", "batch", "bulk", "count", "aggregate", "distinct")),
}
"""Words that are path segments of their own (contract 1.1) and therefore no names."""
_EDGE: Final = r"[^/\s\x00\x1c-\x1f\x85]"
"""What a name may begin and end with: what ``str.strip`` leaves."""


def _other_than(kind: str) -> JsonObject:
    return {"not": {"enum": [".", "..", *sorted(RESERVED[kind])]}}


def name_shape(kind: str) -> JsonObject:
    """What the name of a resource is, as a schema."""
    return {"pattern": rf"^{_EDGE}([^/\x00]*{_EDGE})?$", **_other_than(kind)}


def document_id_shape() -> JsonObject:
    """What the id of a document is, as a schema: one with a slash may be any text."""
    return {
        "pattern": rf"^({_EDGE}([^/\x00\n]*{_EDGE})?|[^\x00]*/[^\x00]*)$",
        **_other_than("document"),
    }
