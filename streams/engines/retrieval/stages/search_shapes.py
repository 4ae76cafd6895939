"""What a search may ask, as JSON Schema: which queries go with which features (contract section 6, Search)."""

from typing import Final

from schemas.api.base import JsonObject
from schemas.features import HASHING
from streams.engines.retrieval.stages.parameters import OR_FILTER, TEMPLATE, WEIGHT

_BOUND: Final = 1e30
_VECTOR: Final[JsonObject] = {
    "type": "array",
    "minItems": 1,
    "maxItems": 16_384,
    "items": {"type": "number", "minimum": -_BOUND, "maximum": _BOUND},
    "contains": {"anyOf": [{"type": "number", "minimum": 1e-6}, {"type": "number", "maximum": -1e-6}]},
}
"""One vector with a direction; several are read too."""
_TEXT: Final[JsonObject] = {"type": "string", "pattern": r"^[^\x00]*[0-9A-Za-z][0-9A-Za-z][^\x00]*$"}
_DOCUMENT: Final[JsonObject] = {
    "type": "object",
    "required": ["document_id"],
    "properties": {
        "document_id": {"type": "string", "minLength": 1},
        "collection_id": {"type": ["string", "null"], "minLength": 1},
    },
    "additionalProperties": False,
}


def _query(mode: str, key: str, value: JsonObject) -> JsonObject:
    return {
        "type": "object",
        "required": ["input_mode", key],
        "properties": {"input_mode": {"const": mode}, key: value},
        "additionalProperties": False,
    }


_VECTOR_QUERY: Final = _query("vector", "value", {"anyOf": [_VECTOR, TEMPLATE]})
_DOCUMENT_QUERY: Final = _query("document", "document_ref", _DOCUMENT)
_TEXT_QUERY: Final = _query("text", "value", _TEXT)
_NOT_LEXICAL: Final[JsonObject] = {"enum": [False, None]}
SEARCH: Final[JsonObject] = {
    "properties": {"filters": OR_FILTER, "weight": WEIGHT, "query": True},
    "required": ["feature_uri", "query"],
    "anyOf": [
        {
            "properties": {
                "query": {"anyOf": [_VECTOR_QUERY, _DOCUMENT_QUERY]},
                "feature_uri": {"not": {"const": HASHING}},
                "lexical": _NOT_LEXICAL,
            }
        },
        {"properties": {"query": _DOCUMENT_QUERY, "lexical": _NOT_LEXICAL}},
        {"properties": {"query": _TEXT_QUERY, "feature_uri": {"const": HASHING}}},
        {"properties": {"query": _TEXT_QUERY, "lexical": {"const": True}}, "required": ["lexical"]},
    ],
}
""":class:`~streams.engines.retrieval.stages.search_parameters.Search`, as far as a schema can say it."""
