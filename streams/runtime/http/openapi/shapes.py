"""Schemas of the document as a whole: shapes put where models name them, and what no request may hold."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from schemas.api.base import SHAPE

CONTENT: Final = "x-content"
"""In the schema of a parameter: the schema of the JSON that its text is."""
JSON: Final = "Json"
_PREFIX: Final = "#/components/schemas/"
TEXT: Final = r"^[^\x00]*$"
"""PostgreSQL has no NUL in any text."""
_SAYING: Final = frozenset(
    (
        *("type", "$ref", "enum", "const", "anyOf", "oneOf", "allOf", "not", "if"),
        *("properties", "required", "items", "pattern", "minLength", "maxLength", "minItems", "maxItems"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "contains", "minProperties"),
        *("maxProperties", "propertyNames", "additionalProperties", "format", "uniqueItems"),
    )
)
_JSON: Final[Mapping[str, Any]] = {
    "title": JSON,
    "description": "Any JSON; no text in it holds a NUL character.",
    "anyOf": [
        {"type": ["number", "boolean", "null"]},
        {"type": "string", "pattern": TEXT},
        {"type": "array", "items": {"$ref": f"{_PREFIX}{JSON}"}},
        {
            "type": "object",
            "propertyNames": {"pattern": TEXT},
            "additionalProperties": {"$ref": f"{_PREFIX}{JSON}"},
        },
    ],
}


def put_references(part: Any) -> None:
    """Put a reference in the place of every name of a shape."""
    if isinstance(part, dict):
        if SHAPE in part:
            part["$ref"] = f"{_PREFIX}{part.pop(SHAPE)}"
        for inner in part.values():
            put_references(inner)
    elif isinstance(part, list):
        for inner in part:
            put_references(inner)


def storable(document: dict[str, Any]) -> None:
    """Say in the schemas of requests that no text holds a NUL."""
    schemas: dict[str, Any] = document["components"]["schemas"]
    reached: set[str] = set()
    waiting = [
        content["schema"]
        for item in document["paths"].values()
        for operation in item.values()
        for content in operation.get("requestBody", {}).get("content", {}).values()
    ]
    while waiting:
        part = waiting.pop()
        for name in set(_names(part)) - reached:
            reached.add(name)
            waiting.append(schemas[name])
        _restrict(part)
    schemas[JSON] = dict(_JSON)


def _names(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(reference := part.get("$ref"), str):
            yield reference.removeprefix(_PREFIX)
        for inner in part.values():
            yield from _names(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _names(inner)


def _restrict(schema: Any) -> None:
    """Of one schema and those in it."""
    if not isinstance(schema, dict):
        return
    for several in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for inner in schema.get(several, ()):
            _restrict(inner)
    for name, inner in schema.get("properties", {}).items():
        schema["properties"][name] = _said(inner)
    for one in ("items", "additionalProperties"):
        if one in schema:
            schema[one] = _said(schema[one])
    kind = schema.get("type")
    kinds = [kind] if isinstance(kind, str) else kind or []
    if "string" in kinds and not {"enum", "const", "format"} & schema.keys():
        # A pattern of its own leaves NUL out by itself.
        schema.setdefault("pattern", TEXT)
    if "array" in kinds:
        schema.setdefault("items", {"$ref": f"{_PREFIX}{JSON}"})
    if "object" in kinds and schema.get("additionalProperties", True) is not False:
        if "additionalProperties" not in schema and "properties" not in schema:
            schema["additionalProperties"] = {"$ref": f"{_PREFIX}{JSON}"}
        names = schema.setdefault("propertyNames", {})
        if not names.keys() & {"pattern", "enum", "anyOf"}:
            names["pattern"] = TEXT


def _said(schema: Any) -> Any:
    """A schema of a value; one that allows anything allows any JSON."""
    if schema is True or (isinstance(schema, dict) and not _SAYING & schema.keys()):
        return {**(schema if isinstance(schema, dict) else {}), "$ref": f"{_PREFIX}{JSON}"}
    if isinstance(schema, dict) and {"not", "title"} <= schema.keys() and not (_SAYING - {"not"}) & schema.keys():
        return {**schema, "$ref": f"{_PREFIX}{JSON}"}
    _restrict(schema)
    return schema
