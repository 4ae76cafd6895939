"""``sort_attribute``: documents by a field (contract section 6)."""

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from schemas.api.base import JsonObject
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.stages.parameters import FieldPath, StageParameters
from streams.engines.retrieval.stages.percolating import in_order
from streams.engines.retrieval.stages.stage import Row, Stage
from streams.engines.retrieval.stages.values import order, value


class Parameters(StageParameters):
    """By what, which way, and where documents without a value go."""

    guide: ClassVar[dict[str, str]] = {"sort_field": "field", "order": "direction"}
    checked: ClassVar[JsonObject] = {
        "anyOf": [
            {"properties": {"null_handling": {"enum": ["last", None]}}},
            {"properties": {"nulls_last": {"enum": [False, None]}}},
        ]
    }

    field: FieldPath = "metadata.created_at"
    direction: Literal["asc", "desc"] = "desc"
    nulls_last: bool = True
    """``true``: at the end, whichever way; ``false``: as the least value, first when ascending."""
    null_handling: Literal["first", "last"] | None = None
    """The guides': where documents without a value go, whichever way; instead of ``nulls_last``."""

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.null_handling == "first" and "nulls_last" in self.model_fields_set and self.nulls_last:
            raise ValueError("null_handling first and nulls_last true contradict each other: give one of them")
        return self


def sort(rows: Sequence[Row], parameters: Parameters) -> list[Row]:
    """The rows in order; equal values stay as they were. Values of different types are ordered by type:
    booleans, numbers, dates, texts, then lists and objects."""
    keys = [order(value(row, parameters.field)) for row in rows]
    present = [at for at, key in enumerate(keys) if key is not None]
    missing = [rows[at] for at, key in enumerate(keys) if key is None]
    descending = parameters.direction == "desc"
    ranked = [rows[at] for at in sorted(present, key=lambda at: keys[at] or (0, 0), reverse=descending)]
    if parameters.null_handling is not None:
        last = parameters.null_handling == "last"
    else:
        last = parameters.nulls_last or descending
    return ranked + missing if last else missing + ranked


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Sort."""
    return sort(rows, parameters)


STAGE = Stage(
    stage_id="sort_attribute",
    category="sort",
    summary="Sort documents by a field: numbers, texts, ISO dates or booleans",
    parameters=Parameters,
    run=run,
    percolate=in_order,
)
