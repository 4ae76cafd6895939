"""Definitions as lists see them: the fields that filters and sorts may name. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from pydantic import BaseModel

from schemas.api.alert import AlertResponse
from schemas.api.base import JsonObject
from schemas.api.cluster import ClusterResponse
from schemas.api.collection import CollectionResponse
from schemas.api.namespace import NamespaceResponse
from schemas.api.pages import Sort
from schemas.api.retriever import RetrieverResponse
from schemas.api.taxonomy import TaxonomyResponse
from schemas.api.webhook import WebhookResponse
from schemas.times import format_instant
from streams.engines.retrieval.filters.nodes import conditions
from streams.engines.retrieval.filters.parse import Filter
from streams.retrieval.sifting import Item
from streams.runtime.http.errors import invalid

_SHAPES: Final[Mapping[str, type[BaseModel]]] = {
    "alert": AlertResponse,
    "cluster": ClusterResponse,
    "collection": CollectionResponse,
    "namespace": NamespaceResponse,
    "retriever": RetrieverResponse,
    "taxonomy": TaxonomyResponse,
    "webhook": WebhookResponse,
}


def check_sorts(kind: str, sorts: Sequence[Sort]) -> None:
    """Raises 422 for a field that the resource does not have."""
    known = _SHAPES[kind].model_fields
    for sort in sorts:
        if sort.field not in ("name", "id") and sort.field.partition(".")[0] not in known:
            message = f"A {kind} has no field {sort.field[:100]!r} to sort by. Fields: {', '.join(known)}"
            raise invalid(message, "body", "sort", "field")


def keys_of(wanted: Filter | None, sorts: Sequence[Sort]) -> set[str]:
    """The root fields of a body that filters and sorts may look into; a key may itself hold dots."""
    paths = [sort.field for sort in sorts]
    paths += [condition.path.text for condition in conditions(wanted.root)] if wanted is not None else []
    found = {"name", "enabled", "payload"}
    for path in paths:
        segments = path.split(".")
        found |= {".".join(segments[:end]) for end in range(1, len(segments) + 1)}
    return found


def item(
    kind: str, identifier: str, name: str | None, created_at: datetime, updated_at: datetime, body: JsonObject
) -> Item[str]:
    """A definition as an item of a list: of its body what :func:`keys_of` names."""
    instants = {"created_at": created_at, "updated_at": updated_at}
    name = name or body.get("name")
    root = {
        **body,
        f"{kind}_id": identifier,
        "id": identifier,
        "name": name,
        **{key: format_instant(moment) for key, moment in instants.items()},
    }
    if kind == "webhook":
        root |= {"webhook_name": name, "is_active": body["enabled"]}
    return Item(identifier, root, identifier, instants)
