"""The filter language as JSON Schema (contract section 5): what the document of the API says of every ``filters``.

What the engine reads is said in :mod:`streams.engines.retrieval.filters`; what this allows, it reads. Of patterns
this tells a part: groups in groups in groups, counted groups and properties of Unicode are read too.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

from pydantic import WithJsonSchema

from schemas.api.base import SHAPE, JsonObject

FILTER: Final = "Filter"
_CONDITION: Final = "FilterCondition"
_VALUE: Final = "FilterValue"
LEVELS: Final = 5
"""Of AND, OR and NOT in each other, and of lists, that are described; ten are read."""
_LISTS: Final = 4
_FURTHER: Final = f"{LEVELS} levels are described, ten are read."

Filter = Annotated[JsonObject, WithJsonSchema({SHAPE: FILTER})]
"""A filter, as JSON."""

PATH: Final[JsonObject] = {
    "type": "string",
    "maxLength": 1_024,
    "pattern": r"^([^.\x00]+(\.[^.\x00]*){0,31}|(\.[^.\x00]*){1,31})$",
}
"""A dotted path into a document."""


def _range_class() -> str:
    """The inside of a character class: some characters, ranges of letters and digits, classes."""
    ranges = [
        f"{first}-[{first}-{alphabet[-1]}]"
        for alphabet in ("0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        for first in alphabet[:-1]
    ]
    return rf"\[\^?([A-Za-z0-9_ .,:;#@%!/]|{'|'.join(ranges)}|\\[dDsSwW.\-\[\]\\])+\]"


def _regex() -> str:
    """Patterns of RE2: sequences and alternatives of characters, classes and groups, two groups deep."""
    count = r"([*+?]|\{[0-9]{1,2},?\})"
    atom = rf"([^\\^$.|?*+(){{}}\[\]\x00]|\\[dDsSwWtnrf.^$|?*+(){{}}\[\]\\\-/]|\.|{_range_class()})({count}\??)?"
    level = rf"({atom}|[\^$|]|\\[bB])*"
    for _ in range(2):
        level = rf"({atom}|[\^$|]|\\[bB]|\((\?:)?{level}\)([*+?]\??)?)*"
    return rf"^(\(\?[ims]+\))?{level}$"


REGEX: Final[JsonObject] = {"type": "string", "maxLength": 2_000, "pattern": _regex()}
WORDS: Final[JsonObject] = {
    "type": "string",
    "pattern": r"^[^\x00]*"
    "[0-9A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0391-\u03a1\u03a3-\u03ff\u0400-\u0481"
    "\u05d0-\u05ea\u0620-\u064a\u0904-\u0939\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3]"
    r"[^\x00]*$",
}
"""A text with a word; words of further scripts are read too."""
_OPERAND: Final[JsonObject] = {SHAPE: _VALUE}
_OPERANDS: Final[JsonObject] = {"type": "array", "items": _OPERAND}
_BOUND: Final[JsonObject] = {"type": ["number", "string"]}
_STRING: Final[JsonObject] = {"type": "string"}
_SWITCH: Final[JsonObject] = {"type": ["boolean", "null"]}


def _object(required: list[str], **properties: Any) -> JsonObject:
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


def _point(west: int, east: int) -> JsonObject:
    latitude = {"type": "number", "minimum": -90, "maximum": 90}
    longitude = {"type": "number", "minimum": west, "maximum": east}
    return _object(["lat", "lon"], lat=latitude, lon=longitude)


def _ring(west: int, east: int) -> JsonObject:
    points = {"type": "array", "minItems": 3, "maxItems": 1_000, "uniqueItems": True, "items": _point(west, east)}
    return _object(["points"], points=points)


def _polygon(west: int, east: int) -> JsonObject:
    ring = _ring(west, east)
    interiors = {"type": ["array", "null"], "maxItems": 5, "items": ring}
    return _object(["exterior"], exterior=ring, interiors=interiors)


_ANYWHERE: Final = _point(-180, 180)
_HALVES: Final = ((-180, -1), (-89, 90), (1, 180))
"""Longitudes of polygons, so that none goes around a pole; one that crosses the antimeridian is read too."""
VALUES: Final[dict[str, JsonObject]] = {
    **dict.fromkeys(("eq", "ne"), _OPERAND),
    **dict.fromkeys(("in", "nin"), _OPERANDS),
    **dict.fromkeys(("gt", "gte", "lt", "lte"), _BOUND),
    "contains": {"type": ["string", "number", "boolean"]},
    **dict.fromkeys(("starts_with", "ends_with", "text"), _STRING),
    **dict.fromkeys(("phrase", "words"), WORDS),
    "regex": REGEX,
    **dict.fromkeys(("exists", "is_null"), _SWITCH),
    "geo_radius": _object(["center", "radius"], center=_ANYWHERE, radius={"type": "number", "minimum": 0}),
    "geo_bounding_box": _object(["top_left", "bottom_right"], top_left=_ANYWHERE, bottom_right=_ANYWHERE),
    "geo_polygon": {"anyOf": [_polygon(*half) for half in _HALVES]},
}
"""By operator the values that it takes."""
_NEED_NO_VALUE: Final = ("exists", "is_null")
_LOGICAL: Final = ("AND", "OR", "NOT")
_FLAG: Final = "case_sensitive"


def _condition(operators: Sequence[str | None], value: JsonObject, *needed: str) -> JsonObject:
    return {
        "type": "object",
        "required": ["field", *needed],
        "properties": {
            "field": PATH,
            "operator": {"enum": list(operators)},
            "value": value,
            _FLAG: _SWITCH,
        },
        # What the SDK leaves empty is passed over.
        "additionalProperties": {"type": "null"},
    }


def kinds() -> Iterator[tuple[Sequence[str], JsonObject]]:
    """Operators that take the same values, with the shape of these."""
    found: dict[int, list[str]] = {}
    for operator, value in VALUES.items():
        found.setdefault(id(value), []).append(operator)
    yield from ((operators, VALUES[operators[0]]) for operators in found.values())


def _conditions() -> Iterator[JsonObject]:
    """One for each kind of value."""
    yield _condition([None, "eq"], _OPERAND, "value")
    for operators, value in kinds():
        needed = ("operator",) if operators[0] in _NEED_NO_VALUE else ("operator", "value")
        yield _condition(operators, value, *needed)


def _logical(inner: str) -> JsonObject:
    """AND, OR and NOT, and beside them fields with the values they equal, or with operators and their values.
    ``inner`` names the shape of what is joined."""
    nodes: JsonObject = {"type": ["array", "null"], "items": {SHAPE: inner}}
    operators = {
        "type": "object",
        "minProperties": 1,
        "properties": dict(VALUES),
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {
            "AND": nodes,
            "OR": nodes,
            _FLAG: _SWITCH,
        },
        # Not among the properties: who walks all alternatives of these, as schemathesis does for examples, would
        # come to two more shapes at each level, and to a thousand at the last.
        "patternProperties": {"^NOT$": {"anyOf": [nodes, {SHAPE: inner}]}},
        "propertyNames": {
            "anyOf": [
                {"enum": [*_LOGICAL, _FLAG]},
                {
                    **PATH,
                    "not": {
                        "anyOf": [
                            {"enum": ["field", "operator", "value"]},
                            {"pattern": r"^(\$|([aA][nN][dD]|[oO][rR]|[nN][oO][tT])$)"},
                        ]
                    },
                },
            ]
        },
        "additionalProperties": {"anyOf": [_OPERAND, operators]},
    }


def filter_shapes() -> dict[str, JsonObject]:
    """The shapes of filters, by name."""
    names = [FILTER, *(f"{FILTER}{level}" for level in range(2, LEVELS + 1))]
    described = {
        name: {
            "title": name,
            "description": f"A condition, or conditions joined by AND, OR and NOT. {_FURTHER}",
            "anyOf": [{SHAPE: _CONDITION}, _logical(inner)],
        }
        for name, inner in zip(names, [*names[1:], _CONDITION], strict=True)
    }
    value: JsonObject = {"type": ["string", "number", "boolean", "null"]}
    for _ in range(_LISTS):
        value = {"anyOf": [{"type": ["string", "number", "boolean", "null"]}, {"type": "array", "items": value}]}
    return {
        **described,
        _CONDITION: {
            "title": _CONDITION,
            "description": "A field, an operator and a value.",
            "anyOf": list(_conditions()),
        },
        _VALUE: {"title": _VALUE, "description": "A scalar, or a list of such values.", **value},
    }
