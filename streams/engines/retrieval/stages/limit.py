"""``limit``: a slice of the documents (contract section 6)."""

from typing import TYPE_CHECKING

from pydantic import Field

from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.stages.parameters import StageParameters
from streams.engines.retrieval.stages.stage import Row, Stage

if TYPE_CHECKING:
    from streams.engines.retrieval.percolate.draft import Draft


class Parameters(StageParameters):
    """How many, after how many."""

    limit: int = Field(default=10, ge=1, le=10_000)
    offset: int = Field(default=0, ge=0, le=10_000)


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Slice."""
    return rows[parameters.offset : parameters.offset + parameters.limit]


def percolate(draft: "Draft", parameters: Parameters, place: str) -> None:
    """One document is within every limit; an offset would skip it."""
    if parameters.offset and not draft.tailed:
        raise PlanError(f"{place}: an offset skips the only document there is")


STAGE = Stage(
    stage_id="limit",
    category="reduce",
    summary="Keep the first documents, after an offset",
    parameters=Parameters,
    run=run,
    percolate=percolate,
)
