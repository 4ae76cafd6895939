"""``document_enrich``: fields of other documents joined in (contract section 6).

A left join: the other document is found by an equal field, or by a retriever asked with inputs from the document.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from schemas.api.base import SHAPE, JsonObject, having, problem
from streams.engines.retrieval.errors import PlanError, StageError
from streams.engines.retrieval.execution.filter_check import FilterTree
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.filters.values import scalars
from streams.engines.retrieval.stages.joining import appended, joined, picked
from streams.engines.retrieval.stages.parameters import OR_FILTER, FieldPath, StageParameters
from streams.engines.retrieval.stages.percolating import on_the_row
from streams.engines.retrieval.stages.stage import Row, Stage
from streams.engines.retrieval.stages.values import identity, put, values

if TYPE_CHECKING:
    from streams.engines.retrieval.execution.run import Definitions

PLACE_OF_APPENDED: Final = "enrichments"
"""Where ``append`` puts what it found when ``output_field`` does not say."""


_NONE: Final[JsonObject] = {"type": "null"}
_RETRIEVER: Final[JsonObject] = {
    "type": "object",
    "required": ["stages"],
    "properties": {"stages": {"type": "array", "minItems": 1, "items": {SHAPE: "Stage"}}},
    "additionalProperties": False,
}
_ONE_WAY: Final[JsonObject] = {
    "anyOf": [
        having(
            "target_collection_id",
            **dict.fromkeys(("retriever_id", "retriever_config", "retriever_inputs"), _NONE),
        ),
        having("retriever_id", retriever_config=_NONE),
        having("retriever_config", retriever_id=_NONE),
    ]
}
_PLACE_OF_SEVERAL: Final[JsonObject] = {
    "anyOf": [
        {"properties": {"multiple": {"enum": [False, None]}}},
        having("output_field"),
        having("strategy", strategy={"const": "append"}),
    ]
}


class Parameters(StageParameters):
    """Where to look, by what, and what to do with what is found."""

    guide: ClassVar[dict[str, str]] = {
        "collection_id": "target_collection_id",
        "lookup_field": "target_field",
        "result_field": "output_field",
        "select_fields": "fields_to_merge",
    }
    checked: ClassVar[JsonObject] = {
        "properties": {"when": OR_FILTER, "retriever_config": {"anyOf": [_RETRIEVER, _NONE]}},
        "allOf": [_ONE_WAY, _PLACE_OF_SEVERAL],
    }

    target_collection_id: str | None = Field(default=None, min_length=1)
    source_field: FieldPath = "source_object_id"
    target_field: FieldPath = "document_id"
    fields_to_merge: Annotated[list[FieldPath], Field(min_length=1)] | None = None
    """Without it the whole document."""
    output_field: FieldPath | None = None
    """Without it the fields go to the root, where ids and score stay unless ``fields_to_merge`` lists them."""
    strategy: Literal["enrich", "replace", "append"] = "enrich"
    """``enrich``: found fields are added, over those there are; ``replace``: they are all the document has;
    ``append``: what is found is added to the list at ``output_field``."""
    when: FilterTree = None
    """A filter; documents that do not fit pass unchanged."""
    allow_missing: bool = True
    """``false``: documents for which nothing is found are left out."""
    retriever_id: str | None = Field(default=None, min_length=1)
    retriever_config: dict[str, Any] | None = None
    retriever_inputs: dict[str, Any] | None = None
    multiple: bool = False
    """The guides': a list of everything found, at ``output_field``, instead of the first."""
    limit: int | None = Field(default=None, ge=1, le=1000)
    """The guides': at most so many with ``multiple``."""
    cache_behavior: Literal["auto", "disabled", "aggressive"] = "auto"
    """Nothing is cached here."""
    cache_ttl_seconds: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.retriever_id is not None and self.retriever_config is not None:
            raise problem("give retriever_id or retriever_config, not both", "retriever_config")
        if not self.by_retriever and self.target_collection_id is None:
            raise problem("needs the collection to look in, or a retriever", "target_collection_id")
        if self.retriever_config is not None and not self.retriever_config.get("stages"):
            raise problem("a retriever needs stages", "retriever_config", "stages")
        if self.retriever_inputs is not None and not self.by_retriever:
            raise problem("inputs are for a retriever: give retriever_id or retriever_config", "retriever_inputs")
        if self.multiple and self.output_field is None and self.strategy != "append":
            raise problem("several documents need a field to go to", "output_field")
        return self

    @property
    def by_retriever(self) -> bool:
        """Whether a retriever finds the other documents."""
        return self.retriever_id is not None or self.retriever_config is not None


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Join."""
    wanted = [run.fits(parameters.when, row) for row in rows]
    asking = [row for row, fits in zip(rows, wanted, strict=True) if fits]
    found = iter(await (_asked if parameters.by_retriever else _looked_up)(asking, parameters, run))
    enriched: list[Row] = []
    for row, fits in zip(rows, wanted, strict=True):
        others = next(found) if fits else []
        if others:
            enriched.append(_merged(row, others, parameters))
        elif not fits or parameters.allow_missing:
            enriched.append(row)
    return enriched


async def _looked_up(rows: Sequence[Row], parameters: Parameters, run: Run) -> list[list[Row]]:
    """For each row the documents of the target collection with an equal field; a list asks for each element."""
    assert parameters.target_collection_id is not None
    collection = _collection(parameters.target_collection_id, run)
    keys = [[item for item in scalars(values(row, parameters.source_field)) if _key(item)] for row in rows]
    distinct = {identity(item): item for items in keys for item in items}
    answers = await run.corpus.lookup(collection, parameters.target_field, list(distinct.values()))
    run.budget.charge(sum(map(len, answers)))
    by_key = dict(zip(distinct, answers, strict=True))
    joined_rows = []
    for items in keys:
        once = {
            (other.collection_id, other.document_id): other for item in items for other in by_key[identity(item)]
        }
        joined_rows.append(list(once.values()))
    return joined_rows


def _collection(identifier: str, run: Run) -> str:
    found = run.definitions.collection_id(identifier)
    if found is None:
        raise StageError(f"{run.place}: target_collection_id: there is no collection {identifier!r}")
    return found


def _key(item: Any) -> bool:
    return type(item) in (str, int, float, bool)


async def _asked(rows: Sequence[Row], parameters: Parameters, run: Run) -> list[list[Row]]:
    """For each row what the retriever finds."""
    retriever: Mapping[str, Any] | None = parameters.retriever_config
    if parameters.retriever_id is not None:
        retriever = run.definitions.retriever(parameters.retriever_id)
    if retriever is None:
        raise StageError(f"{run.place}: retriever_id: there is no retriever {parameters.retriever_id!r}")
    if parameters.target_collection_id is not None:
        collection = _collection(parameters.target_collection_id, run)
        retriever = {**retriever, "collection_identifiers": [collection]}
    inputs = parameters.retriever_inputs or {}
    return [await run.nested(retriever, run.render(inputs, row)) for row in rows]


def _merged(row: Row, others: Sequence[Row], parameters: Parameters) -> Row:
    others = others[: parameters.limit] if parameters.multiple else others[:1]
    if parameters.strategy == "append":
        field = parameters.output_field or PLACE_OF_APPENDED
        return appended(row, field, [picked(other, parameters.fields_to_merge) for other in others])
    if parameters.strategy == "replace":
        row = replace(row, fields={})
    if parameters.output_field is None:
        return joined(row, others[0], parameters.fields_to_merge)
    found = [picked(other, parameters.fields_to_merge) for other in others]
    return put(row, parameters.output_field, found if parameters.multiple else found[0])


def reads(parameters: Parameters, definitions: "Definitions") -> list[str]:
    """The collection that is looked in."""
    return [] if parameters.target_collection_id is None else [parameters.target_collection_id]


def asks(parameters: Parameters, definitions: "Definitions", place: str) -> list[Mapping[str, Any]]:
    """The retriever that finds the other documents."""
    retriever: Mapping[str, Any] | None = parameters.retriever_config
    if parameters.retriever_id is not None:
        retriever = definitions.retriever(parameters.retriever_id)
        if retriever is None:
            raise PlanError(f"{place}: retriever_id: there is no retriever {parameters.retriever_id!r}")
    if retriever is None:
        return []
    if parameters.target_collection_id is not None:
        retriever = {**retriever, "collection_identifiers": [parameters.target_collection_id]}
    return [retriever]


STAGE = Stage(
    stage_id="document_enrich",
    category="enrich",
    summary="Join fields of documents of another collection in, by an equal field or by a retriever",
    parameters=Parameters,
    run=run,
    percolate=on_the_row,
    per_row=frozenset(("when", "retriever_inputs", "retriever_config")),
    reads=reads,
    asks=asks,
)
