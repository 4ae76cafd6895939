"""Definitions as lists see them: the fields that filters and sorts may name. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel

from schemas.api.alert import AlertResponse
from schemas.api.cluster import ClusterResponse
from schemas.api.collection import CollectionResponse
from schemas.api.namespace import NamespaceResponse
from schemas.api.pages import Sort
from schemas.api.retriever import RetrieverResponse
from schemas.api.taxonomy import TaxonomyResponse
from schemas.api.webhook import WebhookResponse
from schemas.times import format_instant
from streams.api.sifting import Item
from streams.runtime.definitions import StoredDefinition
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


def item(kind: str, stored: StoredDefinition) -> Item[StoredDefinition]:
    """A definition as an item of a list."""
    instants = {"created_at": stored.created_at, "updated_at": stored.updated_at}
    name = stored.record.name or stored.body.get("name")
    root = {
        **stored.body,
        f"{kind}_id": stored.record.id,
        "id": stored.record.id,
        "name": name,
        **{key: format_instant(moment) for key, moment in instants.items()},
    }
    if kind == "webhook":
        root |= {"webhook_name": name, "is_active": stored.body["enabled"]}
    return Item(stored.record.id, root, stored, instants)
