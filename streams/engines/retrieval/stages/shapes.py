"""What every stage takes, as JSON Schema: what its parameter model says, and beside it what that checks in code
(``StageParameters.checked``). The document of the API describes each once."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from pydantic import ValidationError

from schemas.api.base import SHAPE, JsonObject, having, or_null
from schemas.api.filters import FILTER
from schemas.api.retriever import STAGE_CONFIG
from streams.engines.retrieval.stages.parameters import OR_FILTER, TEMPLATE, StageParameters
from streams.engines.retrieval.stages.registry import STAGES
from streams.engines.retrieval.stages.stage import Stage

_ABOUT: Final = "Any value may also be a template: `{{INPUT.name}}`."
_GROUPS: Final = ("AND", "OR", "NOT")
_ASKING: Final[JsonObject] = {
    "allOf": [
        {SHAPE: FILTER},
        {
            "anyOf": [
                {"required": ["field"]},
                *({"required": [key], "properties": {key: {"type": "array", "minItems": 1}}} for key in _GROUPS),
            ]
        },
    ]
}
"""A filter that asks something."""


def stage_shapes() -> dict[str, JsonObject]:
    """By name: the parameters of each stage with their parts, and ``StageConfig``, which is one of all stages."""
    found: dict[str, JsonObject] = {}
    configs: list[JsonObject] = []
    for stage in STAGES.values():
        name = f"{''.join(map(str.capitalize, stage.stage_id.split('_')))}Parameters"
        found |= _described(stage.parameters, name)
        found[name]["description"] = " ".join((stage.summary + ".", _ABOUT, *_other_names(stage.parameters)))
        configs += _configs(stage, name)
    found[STAGE_CONFIG] = {"title": STAGE_CONFIG, "description": "What a stage does.", "anyOf": configs}
    return found


def _other_names(parameters: type[StageParameters]) -> Iterator[str]:
    if parameters.guide:
        names = ", ".join(f"`{other}` as `{name}`" for other, name in sorted(parameters.guide.items()))
        yield f"Also read: {names}."


def _configs(stage: Stage[Any], parameters: str) -> Iterator[JsonObject]:
    """What ``config`` is for a stage."""
    config: JsonObject = {
        "type": "object",
        "required": ["stage_id"],
        "properties": {
            "stage_id": {"const": stage.stage_id},
            "parameters": {SHAPE: parameters},
            "pre_filters": OR_FILTER,
            "post_filters": OR_FILTER,
        },
    }
    if stage.needs_no_filter is not None:
        yield config | {"allOf": [having("parameters", parameters=stage.needs_no_filter)]}
        yield config | {
            "required": ["stage_id", "pre_filters"],
            "properties": config["properties"] | {"pre_filters": _ASKING},
        }
    elif _needs_parameters(stage.parameters):
        yield config | {"required": ["stage_id", "parameters"]}
    else:
        yield config


def _needs_parameters(model: type[StageParameters]) -> bool:
    try:
        model.model_validate({})
    except ValidationError:
        return True
    return False


def _described(model: type[StageParameters], name: str) -> dict[str, JsonObject]:
    """A model and the models in it, ``null`` allowed for what is optional."""
    schema = model.model_json_schema()
    inner = schema.pop("$defs", {})
    names = {each: f"{name.removesuffix('Parameters')}{each}" for each in inner}
    found = {name: schema, **{names[each]: part for each, part in inner.items()}}
    for part in found.values():
        for key, field in part.get("properties", {}).items():
            if key not in part.get("required", ()):
                part["properties"][key] = or_null(field)
    schema["properties"] = {key: _or_template(field) for key, field in schema["properties"].items()}
    found = {key: _renamed(part, names) for key, part in found.items()}
    checked = {name: model, **{names[part.__name__]: part for part in _parts(model)}}
    return found | {key: _with_checked(found[key], part) for key, part in checked.items()}


def _parts(model: type[StageParameters]) -> Iterator[type[StageParameters]]:
    """The models of parameters in a model."""
    for field in model.model_fields.values():
        for part in _models(field.annotation):
            yield part
            yield from _parts(part)


def _models(annotation: Any) -> Iterator[type[StageParameters]]:
    if isinstance(annotation, type) and issubclass(annotation, StageParameters):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _or_template(field: JsonObject) -> JsonObject:
    """A parameter whose value may be filled in; a text may be a template anyway."""
    either = field.get("anyOf", [field])
    if any(one.get("type") == "string" and "enum" not in one for one in either) or not field.keys() - {"title"}:
        return field
    rest = {key: value for key, value in field.items() if key in ("title", "description", "default")}
    inner = {key: value for key, value in field.items() if key not in rest}
    return {"anyOf": [*inner["anyOf"], TEMPLATE] if inner.keys() == {"anyOf"} else [inner, TEMPLATE], **rest}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            return {SHAPE: names[reference.rpartition("/")[2]]}
        return {key: _renamed(item, names) for key, item in value.items()}
    return [_renamed(item, names) for item in value] if isinstance(value, list) else value


def _with_checked(schema: JsonObject, model: type[StageParameters]) -> JsonObject:
    properties = {**schema["properties"], **model.checked.get("properties", {})}
    left = {key: shape for key, shape in properties.items() if shape is not False}
    return {**schema, **model.checked, "properties": left}
