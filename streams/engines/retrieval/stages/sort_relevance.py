"""``sort_relevance``: documents by a score (contract section 6)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.stages.parameters import FieldPath, StageParameters
from streams.engines.retrieval.stages.percolating import DEPENDS_ON_OTHERS
from streams.engines.retrieval.stages.score_normalize import normalised
from streams.engines.retrieval.stages.stage import Row, Stage
from streams.engines.retrieval.stages.values import number, put, value

if TYPE_CHECKING:
    from streams.engines.retrieval.percolate.draft import Draft


class Parameters(StageParameters):
    """By what, which way, and where documents without a score go."""

    guide: ClassVar[dict[str, str]] = {"order": "direction"}
    dead: ClassVar[dict[str, str]] = {
        "feature_address": "has no effect: this stage sorts by score_field and never computes a similarity; "
        "put a feature_search with the feature before it"
    }

    score_field: FieldPath = "score"
    direction: Literal["asc", "desc"] = "desc"
    missing_score: Literal["bottom", "top", "preserve"] = "bottom"
    """``preserve`` leaves a document without a score where it stands."""
    normalize: bool = False
    """The guides': scale the scores to [0, 1] as ``score_normalize`` with ``min_max`` does."""


def sort(rows: Sequence[Row], parameters: Parameters) -> list[Row]:
    """The rows in order; equal scores stay as they were."""
    field = parameters.score_field
    scores = [number(value(row, field)) for row in rows]
    if parameters.normalize:
        scaled = normalised(scores, "min_max")
        rows = [
            row if old is None else put(row, field, new)
            for row, old, new in zip(rows, scores, scaled, strict=True)
        ]
    scored = [at for at, score in enumerate(scores) if score is not None]
    missing = [at for at, score in enumerate(scores) if score is None]
    ranked = sorted(scored, key=lambda at: scores[at] or 0.0, reverse=parameters.direction == "desc")
    if parameters.missing_score == "preserve":
        following = iter(ranked)
        return [row if score is None else rows[next(following)] for row, score in zip(rows, scores, strict=True)]
    places = missing + ranked if parameters.missing_score == "top" else ranked + missing
    return [rows[at] for at in places]


def percolate(draft: "Draft", parameters: Parameters, place: str) -> None:
    """One document is always in order, but has no scale of its own."""
    if parameters.normalize and not draft.tailed:
        raise PlanError(f"{place}: normalize {DEPENDS_ON_OTHERS}")


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Sort."""
    return sort(rows, parameters)


STAGE = Stage(
    stage_id="sort_relevance",
    category="sort",
    summary="Sort documents by their relevance, or by another field that holds a score",
    parameters=Parameters,
    run=run,
    percolate=percolate,
)
