"""Where in a document an enrichment writes."""

from typing import Final

from schemas.api.base import JsonObject, problem

IDENTITY: Final = ("document_id", "collection_id", "occurred_at", "_internal")
"""Root fields that say what a document is, and when: they are its producer's."""


TARGET: Final[JsonObject] = {
    "pattern": r"^[^.\x00]+(\.[^.\x00]+){0,31}$",
    "not": {"pattern": rf"^({'|'.join(IDENTITY)})(\.|$)"},
}
"""As a schema, what :func:`check_target` lets through."""


def check_target(path: str, field: str) -> None:
    """Refuse a dot path that no document has, or under which a document keeps its identity. ``field`` is where the
    path stands. Raises a problem of that field."""
    segments = path.split(".")
    if not all(segments):
        raise problem("a dot path has a name before and after each dot", field)
    if segments[0] in IDENTITY:
        raise problem(f"a document keeps its {segments[0]}; name another field", field)
