"""``aggregate``: figures over the documents, as a whole or per group (contract section 6)."""

from collections.abc import Hashable, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from schemas.api.base import CONFLICT, JsonObject, having, problem
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.stages.aggregation import FUNCTIONS
from streams.engines.retrieval.stages.parameters import FieldPath, StageParameters
from streams.engines.retrieval.stages.percolating import DEPENDS_ON_OTHERS
from streams.engines.retrieval.stages.stage import Row, Stage
from streams.engines.retrieval.stages.values import identity, order, value

Function: TypeAlias = Literal[
    "count", "count_distinct", "sum", "avg", "min", "max", "first", "last", "collect", "collect_distinct",
    "percentile", "stddev", "variance", "frequency", "co_occurrence", "correlation",
]  # fmt: skip
_OLD_NAMES: Final = {"cardinality": "count_distinct", "histogram": "frequency"}
_IDS: Final = ("document_id", "collection_id")

Alias = Annotated[str, Field(min_length=1)]


class Aggregation(StageParameters):
    """One figure."""

    guide: ClassVar[dict[str, str]] = {"type": "function", "name": "alias"}
    checked: ClassVar[JsonObject] = {
        "anyOf": [
            having("function", function={"const": "count"}),
            having("field", function={"not": {"enum": ["co_occurrence", "correlation"]}}),
            having("field", "field_b"),
        ]
    }

    function: Function
    """The guides' ``cardinality`` is ``count_distinct``, their ``histogram`` is ``frequency``."""
    field: FieldPath | None = None
    field_b: FieldPath | None = None
    percentile_value: float = Field(default=50, ge=0, le=100)
    top_k: int = Field(default=10, ge=1, le=100)
    alias: Alias

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        return {
            key: _OLD_NAMES.get(item, item) if key in ("function", "type") and isinstance(item, str) else item
            for key, item in raw.items()
        }

    @model_validator(mode="after")
    def _fields_given(self) -> Self:
        if self.field is None and self.function != "count":
            raise problem(f"{self.function} needs field", "field")
        if self.field_b is None and self.function in ("co_occurrence", "correlation"):
            raise problem(f"{self.function} needs field_b, the second field", "field_b")
        return self


class GroupField(StageParameters):
    """A field whose value tells groups apart."""

    field: FieldPath
    alias: Alias | None = None
    """Its key in the result; without it the last part of the path."""

    @property
    def name(self) -> str:
        """The key in the result."""
        return self.alias or self.field.rsplit(".", 1)[-1]


class Parameters(StageParameters):
    """What to compute, per group of what, and which groups come out."""

    aggregations: list[Aggregation] = Field(min_length=1)
    group_by: Annotated[list[GroupField], Field(min_length=1)] | None = None
    sort_by: Alias | None = None
    """An alias; groups without it in the order they appear."""
    sort_order: Literal["asc", "desc"] = "desc"
    limit: int | None = Field(default=None, ge=1, le=1000)
    """At most so many groups."""
    include_documents: bool = False
    """Give each result the documents it was computed from, as ``documents``."""

    @model_validator(mode="before")
    @classmethod
    def _group_by_path(cls, raw: Any) -> Any:
        found = raw.get("group_by") if isinstance(raw, dict) else None
        if isinstance(found, str):
            found = [found]
        if not isinstance(found, list):
            return raw
        return {**raw, "group_by": [{"field": item} if isinstance(item, str) else item for item in found] or None}

    @model_validator(mode="after")
    def _aliases(self) -> Self:
        names = [group.name for group in self.group_by or ()]
        seen: set[str] = {"documents"} if self.include_documents else set()
        for index, name in enumerate(names):
            if name in seen or name in _IDS:
                raise problem(
                    f"the key {name!r} is taken: give another alias", "group_by", index, "alias", kind=CONFLICT
                )
            seen.add(name)
        for index, aggregation in enumerate(self.aggregations):
            if aggregation.alias in seen or aggregation.alias in _IDS:
                where = ("aggregations", index, "alias")
                raise problem(f"the alias {aggregation.alias!r} is taken: each has its own", *where, kind=CONFLICT)
            seen.add(aggregation.alias)
        if self.sort_by is not None and self.sort_by not in seen:
            raise problem(f"sort_by names no alias: {', '.join(sorted(seen))}", "sort_by", kind=CONFLICT)
        return self


def aggregate(rows: Sequence[Row], parameters: Parameters) -> list[Row]:
    """One row per group (one in all without ``group_by``), its fields the keys of the group and the figures.
    Documents without a field are in the group of its null. Of no rows there are no groups; without ``group_by``
    there is a row of them all the same, as in SQL, so that a threshold can ask for a count of 0."""
    groups: dict[tuple[Hashable, ...], list[Row]] = {} if parameters.group_by else {(): []}
    for row in rows:
        key = tuple(identity(value(row, group.field)) for group in parameters.group_by or ())
        groups.setdefault(key, []).append(row)
    results = [_result(members, parameters) for members in groups.values()]
    if parameters.group_by is not None:
        results = _sorted(results, parameters)[: parameters.limit]
    return [Row(f"aggregate_{index}", "", fields) for index, fields in enumerate(results)]


def _result(members: Sequence[Row], parameters: Parameters) -> dict[str, Any]:
    result = {group.name: value(members[0], group.field) for group in parameters.group_by or ()}
    for each in parameters.aggregations:
        result[each.alias] = FUNCTIONS[each.function](members, each)
    if parameters.include_documents:
        result["documents"] = [row.root() for row in members]
    return result


def _sorted(results: list[dict[str, Any]], parameters: Parameters) -> list[dict[str, Any]]:
    if parameters.sort_by is None:
        return results
    keys = [order(result[parameters.sort_by]) for result in results]
    present = [at for at, key in enumerate(keys) if key is not None]
    present.sort(key=lambda at: keys[at] or (0, 0), reverse=parameters.sort_order == "desc")
    return [results[at] for at in present] + [results[at] for at, key in enumerate(keys) if key is None]


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Compute."""
    return aggregate(rows, parameters)


STAGE = Stage(
    stage_id="aggregate",
    category="reduce",
    summary="Compute counts, sums, averages and other figures over the documents or per group",
    parameters=Parameters,
    run=run,
    percolate=DEPENDS_ON_OTHERS,
)
