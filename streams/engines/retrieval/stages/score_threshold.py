"""``score_threshold``: documents with at least a score (contract section 6)."""

from typing import TYPE_CHECKING

from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.percolate.plan import ScoreTest
from streams.engines.retrieval.stages.parameters import FieldPath, StageParameters
from streams.engines.retrieval.stages.stage import Row, Stage
from streams.engines.retrieval.stages.values import number, value

if TYPE_CHECKING:
    from streams.engines.retrieval.percolate.draft import Draft


class Parameters(StageParameters):
    """The least score, and where it stands."""

    threshold: float
    score_field: FieldPath = "score"


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Keep what has a number of at least the threshold."""
    scores = [number(value(row, parameters.score_field)) for row in rows]
    return [
        row for row, score in zip(rows, scores, strict=True) if score is not None and score >= parameters.threshold
    ]


def percolate(draft: "Draft", parameters: Parameters, place: str) -> None:
    """The score of a search is tested by the plan, a score in a field on the document itself."""
    if draft.tailed or parameters.score_field != "score":
        draft.to_tail()
    elif not draft.searches:
        raise PlanError(f"{place}: no feature_search before it gives a score")
    else:
        draft.score_tests.append(ScoreTest("gte", parameters.threshold))


STAGE = Stage(
    stage_id="score_threshold",
    category="reduce",
    summary="Keep documents whose score is at least a threshold",
    parameters=Parameters,
    run=run,
    percolate=percolate,
)
