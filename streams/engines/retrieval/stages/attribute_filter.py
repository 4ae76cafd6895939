"""``attribute_filter``: documents whose fields fit (contract sections 5 and 6)."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.api.base import SHAPE, JsonObject, having
from schemas.api.filters import FILTER, PATH, kinds
from streams.engines.retrieval.errors import FilterError
from streams.engines.retrieval.execution.filter_check import BAD_FORM, WrittenFilter, read_filter
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.filters.nodes import And
from streams.engines.retrieval.filters.parse import Filter, matches
from streams.engines.retrieval.stages.parameters import NULL, StageParameters
from streams.engines.retrieval.stages.stage import Row, Stage

if TYPE_CHECKING:
    from streams.engines.retrieval.percolate.draft import Draft

SCAN_LIMIT: Final = 1_000
"""Documents per collection that it finds as the first stage."""
_SIMPLE: Final = ("field", "operator", "value")
_LOGICAL: Final = ("AND", "OR", "NOT")
_OTHER_FORMS: Final = frozenset((*_SIMPLE, *_LOGICAL, "natural_language"))
_SDK_FIELD: Final = "metadata.status"
"""What the SDK sends as ``field`` when nobody gave one."""


_NONE: Final[JsonObject] = {"type": "null"}
_CHECKED: Final[JsonObject] = {
    # Whichever form it is, the model reads it into the others' fields: what these may be, the forms say.
    "properties": {
        **dict.fromkeys((*_SIMPLE, "conditions"), True),
        **dict.fromkeys(_LOGICAL, False),
        "natural_language": _NONE,
    },
    "required": [],
    "anyOf": [
        having("conditions", conditions={SHAPE: FILTER}, **dict.fromkeys(_SIMPLE, _NONE)),
        *(
            {
                "required": list(_SIMPLE),
                "properties": {
                    "field": PATH,
                    "operator": {"enum": list(operators)},
                    "value": value,
                    "conditions": _NONE,
                },
            }
            for operators, value in kinds()
        ),
    ],
}


class Parameters(StageParameters):
    """What the documents must fit: ``conditions``, or ``field``, ``operator`` and ``value``, or AND, OR, NOT.
    Whichever it was, it is read into ``conditions``."""

    checked: ClassVar[JsonObject] = _CHECKED

    conditions: Any
    field: str | None = None
    operator: str | None = None
    value: Any = None
    and_: Any = Field(default=None, alias="AND")
    or_: Any = Field(default=None, alias="OR")
    not_: Any = Field(default=None, alias="NOT")
    case_insensitive: bool = False
    batch_size: int = Field(default=100, ge=1, le=1_000)
    """Accepted; rows are filtered in one go."""
    natural_language: None = None
    field_hints: list[str] | None = None

    @cached_property
    def written(self) -> WrittenFilter:
        """The filter, read."""
        return read_filter(self.conditions, "conditions", case_sensitive=not self.case_insensitive)

    @model_validator(mode="after")
    def _read(self) -> Self:
        try:
            _ = self.written
        except FilterError as error:
            raise PydanticCustomError(BAD_FORM, "{words}", {"words": str(error)}) from error
        return self

    @model_validator(mode="before")
    @classmethod
    def _one_form(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        if raw.get("natural_language") not in (None, "", NULL):
            raise PydanticCustomError(BAD_FORM, "natural_language needs a hosted model; write conditions")
        if raw.get("conditions") is not None and _OTHER_FORMS.isdisjoint(raw):
            return raw
        rest = {key: raw[key] for key in raw if key != "conditions" and key not in _OTHER_FORMS}
        return {**rest, "conditions": conditions_of(raw)}


def conditions_of(raw: Mapping[str, Any]) -> Any:
    """The filter, whichever way it is written. Raises a validation error when there is none, or more than one."""
    conditions = raw.get("conditions")
    logical = {key: raw[key] for key in _LOGICAL if raw.get(key) is not None} or None
    simple = {key: raw[key] for key in _SIMPLE if key in raw} or None
    # The SDK sends the simple form's defaults beside the others: they mean nothing there.
    if simple is not None and (conditions is not None or logical is not None):
        plain = {
            key: value for key, value in simple.items() if value is not None and (key, value) != ("operator", "eq")
        }
        if not plain or plain == {"field": _SDK_FIELD}:
            simple = None
    given = [form for form in (conditions, simple, logical) if form is not None]
    if len(given) != 1:
        raise PydanticCustomError(BAD_FORM, "give either conditions, or field, operator and value")
    return given[0]


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Filter the rows; as the first stage find them."""
    written, case_sensitive = parameters.written, not parameters.case_insensitive
    if written.by_row:
        rows = await run.scan(SCAN_LIMIT) if run.first else rows
        return [
            row for row in rows if matches(run.written(written, row, case_sensitive=case_sensitive), row.root())
        ]
    wanted = run.written(written, case_sensitive=case_sensitive)
    if run.first:
        run.where = Filter(And((run.where.root, wanted.root)))
        return await run.scan(SCAN_LIMIT)
    return [row for row in rows if matches(wanted, row.root())]


def percolate(draft: "Draft", parameters: Parameters, place: str) -> None:
    """The filter becomes part of the predicate."""
    case_sensitive = not parameters.case_insensitive
    draft.add_filter(parameters.written, f"{place}: conditions", case_sensitive=case_sensitive)


STAGE = Stage(
    stage_id="attribute_filter",
    category="filter",
    summary="Keep documents whose fields fit conditions",
    parameters=Parameters,
    run=run,
    percolate=percolate,
    per_row=frozenset(("conditions", "field", "operator", "value", "and_", "or_", "not_")),
    source=True,
)
