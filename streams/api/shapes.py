"""Shapes that the document of the API describes once and names in many places: filters, pages, and what the stages
of a retriever take (contract 5, 6)."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from schemas.api.actions import SHAPES as ACTIONS
from schemas.api.base import SHAPE, JsonObject, having, lacking, or_null
from schemas.api.channel import CONFIGS
from schemas.api.clustering import METHODS, STEPS
from schemas.api.execution import CursorPage, KeysetPage, OffsetPage, ScrollPage
from schemas.api.filters import FILTER, PATH, filter_shapes, kinds
from schemas.api.retriever import STAGE_CONFIG
from schemas.api.schedule import SHAPES as SCHEDULES
from schemas.features import HASHING
from streams.engines.retrieval.stages.registry import STAGES

_REFERENCES: Final = "#/components/schemas/{model}"
_ABOUT: Final = "Any value may also be a template: `{{INPUT.name}}`."
_BOUND: Final = 1e30
_VECTOR: Final[JsonObject] = {
    "type": "array",
    "minItems": 1,
    "maxItems": 16_384,
    "items": {"type": "number", "minimum": -_BOUND, "maximum": _BOUND},
    "contains": {"anyOf": [{"type": "number", "minimum": 1e-6}, {"type": "number", "maximum": -1e-6}]},
}
_TEMPLATE: Final[JsonObject] = {
    "type": "string",
    "pattern": r"^\{\{ ?(INPUT|inputs)\.[A-Za-z_][A-Za-z0-9_]{0,63} ?\}\}$",
}
"""One input in the place of a value; longer templates are read too."""
_TEXT: Final[JsonObject] = {"type": "string", "pattern": r"^[^\x00]*[0-9A-Za-z][0-9A-Za-z][^\x00]*$"}


_MODELS: Final[tuple[type[BaseModel], ...]] = (
    *SCHEDULES.values(),
    *ACTIONS.values(),
    *CONFIGS.values(),
    *METHODS.values(),
    *STEPS,
)


def shapes() -> dict[str, JsonObject]:
    """By name."""
    models: tuple[type[BaseModel], ...] = (OffsetPage, CursorPage, ScrollPage, KeysetPage, *_MODELS)
    _, pages = models_json_schema(
        [(model, "validation") for model in models],
        ref_template=_REFERENCES,
    )
    return {**filter_shapes(), **pages["$defs"], **_stages()}


def _stages() -> dict[str, JsonObject]:
    found: dict[str, JsonObject] = {}
    configs: list[JsonObject] = []
    for stage_id, stage in STAGES.items():
        name = f"{''.join(map(str.capitalize, stage_id.split('_')))}Parameters"
        found |= _described(stage.parameters, name)
        found[name]["description"] = " ".join((stage.summary + ".", _ABOUT, *_other_names(stage.parameters)))
        configs += _configs(stage_id, name)
    found[STAGE_CONFIG] = {
        "title": STAGE_CONFIG,
        "description": "What a stage does.",
        "anyOf": configs,
    }
    return found


def _other_names(parameters: type[BaseModel]) -> Iterator[str]:
    guide: Mapping[str, str] = getattr(parameters, "guide", {})
    if guide:
        yield f"Also read: {', '.join(f'`{other}` as `{name}`' for other, name in sorted(guide.items()))}."


def _configs(stage_id: str, parameters: str) -> Iterator[JsonObject]:
    """What ``config`` is for a stage."""
    filters = {"anyOf": [{SHAPE: FILTER}, {"type": "null"}]}
    config: JsonObject = {
        "type": "object",
        "required": ["stage_id"],
        "properties": {
            "stage_id": {"const": stage_id},
            "parameters": {SHAPE: parameters},
            "pre_filters": filters,
            "post_filters": filters,
        },
    }
    if stage_id == "feature_search":
        asking = [{"required": [key], "properties": {key: {"type": "array", "minItems": 1}}} for key in _GROUPS]
        scanned = {"allOf": [{SHAPE: FILTER}, {"anyOf": [{"required": ["field"]}, *asking]}]}
        searching = having("parameters", parameters={"required": ["searches"], "properties": _SOME})
        yield config | {"allOf": [searching]}
        yield config | {
            "required": ["stage_id", "pre_filters"],
            "properties": config["properties"] | {"pre_filters": scanned},
        }
    elif stage_id in _NEED_PARAMETERS:
        yield config | {"required": ["stage_id", "parameters"]}
    else:
        yield config


_GROUPS: Final = ("AND", "OR", "NOT")
_SOME: Final[JsonObject] = {"searches": {"type": "array", "minItems": 1}}
_NEED_PARAMETERS: Final = (
    *("attribute_filter", "aggregate", "deduplicate", "score_threshold"),
    *("unwind", "json_transform", "document_enrich", "taxonomy_enrich"),
)


def _described(model: type[BaseModel], name: str) -> dict[str, JsonObject]:
    """A model and the models in it, ``null`` allowed for what is optional."""
    schema = model.model_json_schema(ref_template=_REFERENCES)
    inner = schema.pop("$defs", {})
    names = {each: f"{name.removesuffix('Parameters')}{each}" for each in inner}
    found = {name: schema, **{names[each]: part for each, part in inner.items()}}
    for part in found.values():
        for key, field in part.get("properties", {}).items():
            if key not in part.get("required", ()):
                part["properties"][key] = or_null(field)
    schema["properties"] = {key: _or_template(field) for key, field in schema["properties"].items()}
    found = {key: _renamed(part, names) for key, part in found.items()}
    for changed, change in _FURTHER.items():
        if changed in found:
            found[changed] = _combined(found[changed], change)
    return found


def _or_template(field: JsonObject) -> JsonObject:
    """A parameter whose value may be filled in; a text may be a template anyway."""
    either = field.get("anyOf", [field])
    if any(one.get("type") == "string" and "enum" not in one for one in either) or not field.keys() - {"title"}:
        return field
    rest = {key: value for key, value in field.items() if key in ("title", "description", "default")}
    inner = {key: value for key, value in field.items() if key not in rest}
    return {"anyOf": [*inner["anyOf"], _TEMPLATE] if inner.keys() == {"anyOf"} else [inner, _TEMPLATE], **rest}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            return {SHAPE: names[reference.rpartition("/")[2]]}
        return {key: _renamed(item, names) for key, item in value.items()}
    return [_renamed(item, names) for item in value] if isinstance(value, list) else value


def _combined(schema: JsonObject, change: JsonObject) -> JsonObject:
    properties = {**schema.get("properties", {}), **change.get("properties", {})}
    hidden = change.get("hidden", ())
    rest = {key: value for key, value in change.items() if key not in ("properties", "hidden")}
    return {**schema, **rest, "properties": {key: item for key, item in properties.items() if key not in hidden}}


def _query(mode: str, key: str, value: JsonObject) -> JsonObject:
    return {
        "type": "object",
        "required": ["input_mode", key],
        "properties": {"input_mode": {"const": mode}, key: value},
        "additionalProperties": False,
    }


_PLAIN_TEXT: Final = r'[^"\\{}\x00-\x1f]'
_FIELD: Final = r"\{\{ ?DOC(\.[A-Za-z_][A-Za-z0-9_]*)+ ?"
_SPACE: Final = r"[ \t\n\r]*"
_MEMBER: Final = (
    rf'"{_PLAIN_TEXT}*"{_SPACE}:{_SPACE}("({_PLAIN_TEXT}|{_FIELD}\}}\}})*"|-?[1-9][0-9]{{0,14}}|0|true|false|null'
    rf"|{_FIELD}\| ?tojson ?\}}\}}){_SPACE}"
)
_JSON_TEMPLATE: Final = rf"^\{{{_SPACE}({_MEMBER}(,{_SPACE}{_MEMBER})*)?\}}$"
"""An object of fields and constants. Objects in it, conditions, loops and other templates are read too."""
_OR_FILTER: Final[JsonObject] = {"anyOf": [{SHAPE: FILTER}, {"type": "null"}]}
_DOCUMENT: Final[JsonObject] = {
    "type": "object",
    "required": ["document_id"],
    "properties": {
        "document_id": {"type": "string", "minLength": 1},
        "collection_id": {"type": ["string", "null"], "minLength": 1},
    },
    "additionalProperties": False,
}
_VECTOR_QUERY: Final = _query("vector", "value", {"anyOf": [_VECTOR, _TEMPLATE]})
_DOCUMENT_QUERY: Final = _query("document", "document_ref", _DOCUMENT)
_TEXT_QUERY: Final = _query("text", "value", _TEXT)
_NOT_LEXICAL: Final[JsonObject] = {"enum": [False, None]}
_SEARCHES: Final[JsonObject] = {
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
    ]
}
_CONDITIONS: Final[list[JsonObject]] = [
    {
        "required": ["field", "operator", "value"],
        "properties": {"field": PATH, "operator": {"enum": list(operators)}, "value": value},
    }
    for operators, value in kinds()
]
_NONE: Final[JsonObject] = {"type": "null"}
_PLAIN: Final = having(
    "conditions", conditions={SHAPE: FILTER}, **dict.fromkeys(("field", "operator", "value"), _NONE)
)
_FURTHER: Final[Mapping[str, JsonObject]] = {
    "FeatureSearchParameters": {
        "properties": {
            "fusion": {"enum": ["rrf", "dbsf", "weighted", "max", None], "default": "rrf"},
            "query_preprocessing": _NONE,
        }
    },
    "FeatureSearchSearch": {
        "properties": {
            "filters": _OR_FILTER,
            "weight": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1, "default": 1.0},
            "query": True,
        },
        "required": ["feature_uri", "query"],
        **_SEARCHES,
    },
    "AttributeFilterParameters": {
        "properties": {
            "field": True,
            "operator": True,
            "value": True,
            "natural_language": _NONE,
            "conditions": True,
        },
        "hidden": ("AND", "OR", "NOT"),
        "required": [],
        "anyOf": [
            _PLAIN,
            *({**one, "properties": {**one["properties"], "conditions": _NONE}} for one in _CONDITIONS),
        ],
    },
    "SampleParameters": {
        "anyOf": [
            having("stratify_by"),
            {"properties": {"strategy": {"enum": ["random", "reservoir", "systematic", None]}}},
        ]
    },
    "DeduplicateParameters": {
        "anyOf": [having("fields"), having("strategy", strategy={"const": "content"})],
    },
    "SortAttributeParameters": {
        "anyOf": [
            {"properties": {"null_handling": {"enum": ["last", None]}}},
            {"properties": {"nulls_last": {"enum": [False, None]}}},
        ]
    },
    "ScoreNormalizeParameters": {
        "anyOf": [
            lacking("min_value"),
            lacking("max_value"),
            {
                "properties": {
                    "min_value": {"type": "number", "maximum": 0},
                    "max_value": {"type": "number", "exclusiveMinimum": 0},
                }
            },
        ]
    },
    "AggregateAggregation": {
        "anyOf": [
            having("function", function={"const": "count"}),
            having("field", function={"not": {"enum": ["co_occurrence", "correlation"]}}),
            having("field", "field_b"),
        ]
    },
    "MmrParameters": {
        "anyOf": [
            lacking("diversity_features", "diversity_fields", "diversity_field_weights"),
            lacking("diversity_feature_uri", "diversity_fields", "diversity_field_weights"),
            lacking("diversity_feature_uri", "diversity_features"),
        ]
    },
    "MmrDiversityFeature": {
        "properties": {"weight": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1, "default": 1.0}}
    },
    "JsonTransformParameters": {
        "properties": {
            "template": {
                "type": "string",
                "maxLength": 20_000,
                "pattern": _JSON_TEMPLATE,
            }
        }
    },
    "DocumentEnrichParameters": {
        "properties": {
            "when": _OR_FILTER,
            "retriever_config": {
                "anyOf": [
                    {
                        "type": "object",
                        "required": ["stages"],
                        "properties": {
                            "stages": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"$ref": "#/components/schemas/Stage"},
                            }
                        },
                        "additionalProperties": False,
                    },
                    _NONE,
                ]
            },
        },
        "allOf": [
            {
                "anyOf": [
                    having(
                        "target_collection_id",
                        **dict.fromkeys(("retriever_id", "retriever_config", "retriever_inputs"), _NONE),
                    ),
                    having("retriever_id", retriever_config=_NONE),
                    having("retriever_config", retriever_id=_NONE),
                ]
            },
            {
                "anyOf": [
                    {"properties": {"multiple": {"enum": [False, None]}}},
                    having("output_field"),
                    having("strategy", strategy={"const": "append"}),
                ]
            },
        ],
    },
    "TaxonomyEnrichParameters": {"properties": {"when": _OR_FILTER}},
}
"""What the models check in code, as far as a schema can say it."""
