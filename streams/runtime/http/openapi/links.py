"""Links of the document: what a create answers names the resource that other operations take."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

_IDS: Final[Mapping[str, str]] = {"identifier": "webhook_id"}
"""Identifiers of paths that are not called as the field that holds them."""
_SCOPE: Final[Mapping[str, str]] = {
    "header.X-Namespace": "$request.header.X-Namespace",
    "query.namespace": "$request.query.namespace",
}
"""What was made in a namespace is there."""


def add_links(document: Mapping[str, Any]) -> None:
    """Link every ``POST`` of a resource to the operations on what it made."""
    paths: Mapping[str, Any] = document["paths"]
    schemas: Mapping[str, Any] = document["components"]["schemas"]
    for path, item in paths.items():
        made = item.get("post", {}).get("responses", {}).get("200")
        if made is None or path.endswith("}"):
            continue
        fields = _fields(made, schemas)
        inside = {name: f"$request.path.{name}" for name in _identifiers(path)}
        for below, operations in paths.items():
            name = _identifier_below(path, below)
            if name is None or (field := _field(name)) not in fields:
                continue
            for operation in operations.values():
                made.setdefault("links", {})[operation["operationId"]] = {
                    "operationId": operation["operationId"],
                    "parameters": {
                        **inside,
                        name: f"$response.body#/{field}",
                        **dict(_scope(item["post"], operation)),
                    },
                }


def _scope(made: Mapping[str, Any], used: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The namespace, where both operations take it."""
    for place, expression in _SCOPE.items():
        if all(place in _places(operation) for operation in (made, used)):
            yield place, expression


def _places(operation: Mapping[str, Any]) -> set[str]:
    return {f"{one['in']}.{one['name']}" for one in operation.get("parameters", ())}


def _identifiers(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _identifier_below(path: str, below: str) -> str | None:
    """The identifier that follows ``path`` in a longer path, the last of that path."""
    if not below.startswith(f"{path}/{{"):
        return None
    rest = below.removeprefix(f"{path}/")
    names = _identifiers(rest)
    return names[0] if len(names) == 1 else None


def _field(name: str) -> str:
    return _IDS.get(name, name.replace("_identifier", "_id"))


def _fields(answer: Mapping[str, Any], schemas: Mapping[str, Any]) -> set[str]:
    reference = answer.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
    return set(schemas.get(reference.rpartition("/")[2], {}).get("properties", ()))
