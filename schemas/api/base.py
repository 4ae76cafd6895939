"""What every model of the HTTP API shares: how requests are read and how instants are written.

Requests refuse undeclared keys and name the accepted ones, read ``null`` of an optional field as absent, take no
type for another, and refuse what JSON cannot hold (contract 1.4, 1.5). Responses carry every declared key.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Annotated, Any, Final, Self, TypeVar, get_args, get_origin

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PlainSerializer,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from schemas.times import format_instant

JsonObject = dict[str, Any]
"""Any JSON object."""

Instant = Annotated[datetime, PlainSerializer(format_instant, return_type=str)]
"""An instant in UTC, written as ISO 8601 with ``Z``."""


def _written(value: Any) -> Any:
    """Refuse a number: of JSON only text is an instant."""
    if isinstance(value, str | datetime):
        return value
    raise PydanticCustomError("datetime_type", "Input should be a valid date and time, as text")


GivenInstant = Annotated[
    AwareDatetime,
    BeforeValidator(_written),
    Field(strict=False),
    PlainSerializer(format_instant, return_type=str),
]
"""An instant in a request: ISO 8601 with its time zone."""

Cooldown = Annotated[int, Field(ge=0, le=2_592_000)]
"""Seconds, up to 30 days."""


def relocated(error: ValidationError, *prefix: str | int, extra: str | None = None) -> ValidationError:
    """The same problems under ``prefix``; with ``extra`` that text replaces the message of refused keys."""
    problems = [
        InitErrorDetails(
            type=PydanticCustomError(
                item["type"],
                extra
                if extra is not None and item["type"] == "extra_forbidden" and len(item["loc"]) == 1
                else item["msg"],
            ),
            loc=(*prefix, *item["loc"]),
            input=None,
        )
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return ValidationError.from_exception_data(error.title, problems)


CONFLICT: Final = "conflict"
"""The kind of a problem between parts that are each as they may be: no schema tells, and it is answered 409."""


def problem(message: str, *location: str | int, kind: str = "value_error") -> ValidationError:
    """One problem at a place inside a model."""
    details = InitErrorDetails(type=PydanticCustomError(kind, message), loc=location, input=None)
    return ValidationError.from_exception_data("request", [details])


SHAPE: Final = "x-shape"
"""In the place of a reference: the name of a shape that the document describes once (``streams.api.shapes``)."""
_SAYING: Final = frozenset(("type", "$ref", "anyOf", "oneOf", "enum", "const", SHAPE))
"""Keywords of which a schema that allows anything has none."""


def or_null(schema: JsonSchemaValue) -> JsonSchemaValue:
    """A schema that allows ``null`` beside what it describes."""
    if not _SAYING & schema.keys():
        return schema
    described = {key: value for key, value in schema.items() if key in ("title", "description", "default")}
    inner = {key: value for key, value in schema.items() if key not in described}
    if inner.keys() == {"anyOf"}:
        either = inner["anyOf"]
        return schema if {"type": "null"} in either else {"anyOf": [*either, {"type": "null"}], **described}
    return {"anyOf": [inner, {"type": "null"}], **described}


@cache
def _declared(model: type[BaseModel]) -> frozenset[str]:
    """The wire names of a model's fields."""
    return frozenset(field.alias or name for name, field in model.model_fields.items())


@cache
def _whole(model: type[BaseModel]) -> frozenset[str]:
    """The wire names of the fields that hold whole numbers."""
    return frozenset(
        field.alias or name
        for name, field in model.model_fields.items()
        if {_bare(kind) for kind in get_args(field.annotation) or (field.annotation,)} <= {int, NoneType}
    )


def _bare(annotation: Any) -> Any:
    """A type without what is said about it, which stays around it in a union."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def as_whole(value: Any) -> Any:
    """JSON has one kind of number: 1.0 is as whole as 1."""
    return int(value) if type(value) is float and value.is_integer() else value


class ApiRequest(BaseModel):
    """A request body or a part of one."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema says what :meth:`_read` does: ``null`` of an optional field is its absence."""
        schema = handler(core)
        described = handler.resolve_ref_schema(schema)
        required = described.get("required", ())
        for name, field in described.get("properties", {}).items():
            if name not in required:
                described["properties"][name] = or_null(field)
            elif not _SAYING & field.keys():
                described["properties"][name] = {**field, "not": {"type": "null"}}
        return schema

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(raw, dict) and None in raw.values():
            declared = _declared(cls)
            raw = {key: value for key, value in raw.items() if value is not None or key not in declared}
        if isinstance(raw, dict) and (whole := _whole(cls) & raw.keys()):
            raw = {**raw, **{key: as_whole(raw[key]) for key in whole}}
        try:
            return handler(raw)
        except ValidationError as error:
            accepted = ", ".join(field.alias or name for name, field in cls.model_fields.items())
            raise relocated(error, extra=f"Unknown key. Accepted keys: {accepted}") from None

    def given(self) -> JsonObject:
        """The fields the caller sent, by their wire names."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def filled(self) -> JsonObject:
        """Every field that has a value, defaults included, by their wire names."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class ApiResponse(BaseModel):
    """A response body or a part of one."""

    model_config = ConfigDict(allow_inf_nan=False, populate_by_name=True)


M = TypeVar("M", bound=BaseModel)


def _either(*schemas: JsonSchemaValue) -> JsonSchemaValue:
    return schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}


def having(*names: str, **more: Any) -> JsonSchemaValue:
    """The schema of an object that has these fields, not ``null``; ``more`` are schemas of others."""
    given = {name: {"not": {"type": "null"}, **more.get(name, {})} for name in names}
    return {"required": list(names), "properties": {**more, **given}}


def lacking(*names: str) -> JsonSchemaValue:
    """The schema of an object that has none of these fields."""
    return {"properties": {name: {"type": "null"} for name in names}}


def shape_by(
    schema: JsonSchemaValue,
    handler: GetJsonSchemaHandler,
    tag: str,
    part: str,
    shapes: Mapping[Any, type[ApiRequest]],
    *beside: JsonSchemaValue,
) -> None:
    """Say in a schema what :func:`read_part` does: which shape ``part`` has, by the value of ``tag``,
    and what it may be ``beside`` that. The document describes the shapes by the names of their models."""
    either = [
        {"properties": {tag: {"const": value}, part: _either({SHAPE: shape.__name__}, *beside)}}
        for value, shape in shapes.items()
    ]
    handler.resolve_ref_schema(schema).setdefault("allOf", []).append({"anyOf": either})


def read_part(model: type[M], raw: Any, *location: str | int) -> M:
    """Read a part of a request whose model depends on another field; problems are placed at ``location``."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise relocated(error, *location) from None


def first_problem(error: ValidationError) -> tuple[Sequence[str | int], str]:
    """Where and what the first problem is."""
    item = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return item["loc"], item["msg"]
