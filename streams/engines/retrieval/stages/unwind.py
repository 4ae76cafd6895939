"""``unwind``: one document per element of a list (contract section 6)."""

from typing import Any

from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.stages.parameters import FieldPath, StageParameters
from streams.engines.retrieval.stages.percolating import on_the_row
from streams.engines.retrieval.stages.stage import Row, Stage
from streams.engines.retrieval.stages.values import put, values


class Parameters(StageParameters):
    """Which list, and what becomes of it."""

    field: FieldPath
    preserve_null_and_empty: bool = False
    """Keep a document whose list is missing, null or empty, once and unchanged."""
    include_array_index: FieldPath | None = None
    """Where the element's position goes, from 0."""
    output_field: FieldPath | None = None
    """Where the element goes; without it over the list."""


def unwound(row: Row, parameters: Parameters) -> list[Row]:
    """A copy of the row per element, each with the row's ids and score; a value that is no list leaves the row
    as it is. Through a list of objects the field's list is all that the path leads to."""
    found = values(row, parameters.field)
    whole: Any = found[0] if len(found) == 1 else found
    if not isinstance(whole, list) and whole is not None:
        return [row]
    if not whole:
        return [row] if parameters.preserve_null_and_empty else []
    rows = []
    for index, element in enumerate(whole):
        one = put(row, parameters.output_field or parameters.field, element)
        if parameters.include_array_index is not None:
            one = put(one, parameters.include_array_index, index)
        rows.append(one)
    return rows


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Take lists apart."""
    return [one for row in rows for one in unwound(row, parameters)]


STAGE = Stage(
    stage_id="unwind",
    category="apply",
    summary="Make one document of each element of a list",
    parameters=Parameters,
    run=run,
    percolate=on_the_row,
)
