"""What the parameters of every stage share: how they are read, and the types that recur (contract section 6)."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas.api.base import SHAPE, JsonObject, problem
from schemas.api.filters import FILTER, PATH
from streams.engines.retrieval.filters.paths import parse_path

NULL: Final = "null"
"""What the SDK's models send for an optional text that is not given."""
PLACEHOLDERS: Final = frozenset(("{{COLLECTION_ID}}", "{{TAXONOMY_ID}}"))
"""What the SDK's models send for an id that is not given: no templates, although they look like it."""


TEMPLATE: Final[JsonObject] = {
    "type": "string",
    "pattern": r"^\{\{ ?(INPUT|inputs)\.[A-Za-z_][A-Za-z0-9_]{0,63} ?\}\}$",
}
"""The shape of one input in the place of a value; longer templates are read too."""
OR_FILTER: Final[JsonObject] = {"anyOf": [{SHAPE: FILTER}, {"type": "null"}]}
"""The shape of a filter that need not be there."""
WEIGHT: Final[JsonObject] = {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1, "default": 1.0}
"""The shape of a weight that counts."""


def _path(text: str) -> str:
    parse_path(text)
    return text


FieldPath = Annotated[str, AfterValidator(_path), Field(min_length=1, json_schema_extra=PATH)]
"""A dotted path into a document (contract section 5)."""

Fraction = Annotated[float, Field(ge=0, le=1)]


@cache
def _declared(model: type[BaseModel]) -> tuple[frozenset[str], Mapping[str, str], frozenset[str]]:
    """Names that are required, the wire name of each field, and the names whose default is nothing."""
    fields = model.model_fields.items()
    wire = {name: field.alias or name for name, field in fields}
    required = frozenset(wire[name] for name, field in fields if field.is_required())
    return required, wire, frozenset(wire[name] for name, field in fields if field.default is None)


class StageParameters(BaseModel):
    """Parameters of a stage: JSON types as they are, undeclared keys refused, ``null`` of an optional absent."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    guide: ClassVar[Mapping[str, str]] = {}
    """Names that the guides use → the SDK's."""
    dead: ClassVar[Mapping[str, str]] = {}
    """Parameters that do nothing → what to do instead."""
    checked: ClassVar[JsonObject] = {}
    """What is checked in code, as far as a JSON Schema can say it (``shapes.py``): keywords beside those of the
    fields, and each of ``properties`` in the place of the field's own; ``False`` is a field that it leaves out."""

    @model_validator(mode="before")
    @classmethod
    def _names(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        required, wire, empty = _declared(cls)
        read: dict[str, Any] = {}
        for given, value in raw.items():
            name = str(cls.guide.get(given) or wire.get(given, given))
            absent = value is None and name not in required
            if absent or (value == NULL and (name in empty or name in cls.dead)):
                continue
            if name in cls.dead:
                raise problem(f"{name} {cls.dead[name]}", name)
            if name in read and read[name] != value:
                names = [other for other, canonical in cls.guide.items() if canonical == name]
                raise problem(f"{' and '.join([name, *names])} mean the same: give one of them", name)
            read[name] = value
        return read
