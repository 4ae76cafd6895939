"""``score_normalize``: scores on a common scale (contract section 6)."""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal, Self, TypeAlias

from pydantic import model_validator

from schemas.api.base import CONFLICT, JsonObject, lacking, problem
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.stages.parameters import FieldPath, StageParameters
from streams.engines.retrieval.stages.percolating import DEPENDS_ON_OTHERS
from streams.engines.retrieval.stages.stage import Row, Stage
from streams.engines.retrieval.stages.values import number, put, value

Method: TypeAlias = Literal["min_max", "z_score", "softmax", "l2"]


class Parameters(StageParameters):
    """Which scale, from where, to where."""

    checked: ClassVar[JsonObject] = {
        "anyOf": [
            lacking("min_value"),
            lacking("max_value"),
            {
                "properties": {
                    "min_value": {"type": "number", "maximum": 0},
                    "max_value": {"type": "number", "exclusiveMinimum": 0},
                }
            },
        ]
    }

    method: Method = "min_max"
    score_field: FieldPath = "score"
    output_field: FieldPath | None = None
    """Where the result goes; without it over ``score_field``."""
    min_value: float | None = None
    """What ``min_max`` takes for the least score; scores below it become 0."""
    max_value: float | None = None
    """What ``min_max`` takes for the greatest score; scores above it become 1."""

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min_value is not None and self.max_value is not None and self.min_value >= self.max_value:
            raise problem("min_value must be below max_value", "min_value", kind=CONFLICT)
        return self


def normalised(
    scores: Sequence[float | None], method: Method, low: float | None = None, high: float | None = None
) -> list[float]:
    """Scores on the scale, same order and length; ``None`` (missing or no number) gives 0.0 and counts for
    nothing. Of one or of equal scores, ``min_max`` makes 1.0 and ``z_score`` 0.0."""
    present = [score for score in scores if score is not None]
    if not present:
        return [0.0] * len(scores)
    # Sums of squares and differences of very large or small numbers leave the range; their ratios do not.
    scale = max(abs(bound) for bound in (*present, low or 0.0, high or 0.0)) or 1.0
    small = [score / scale for score in present]
    if method == "min_max":
        found = _min_max(small, None if low is None else low / scale, None if high is None else high / scale)
    elif method == "z_score":
        found = _z_score(small)
    elif method == "softmax":
        top = max(present)
        powers = [math.exp(score - top) for score in present]
        total = math.fsum(powers)
        found = [power / total for power in powers]
    else:
        length = math.hypot(*small)
        found = [score / length if length else 0.0 for score in small]
    results = iter(found)
    return [0.0 if score is None else next(results) for score in scores]


def _min_max(scores: Sequence[float], low: float | None, high: float | None) -> list[float]:
    least = min(scores) if low is None else low
    most = max(scores) if high is None else high
    if low is None:
        least = min(least, most)
    most = max(least, most)
    return [
        1.0 if score >= most else 0.0 if score <= least else (score - least) / (most - least) for score in scores
    ]


def _z_score(scores: Sequence[float]) -> list[float]:
    """Distances from the mean in standard deviations of these scores as a whole population."""
    if min(scores) == max(scores):
        return [0.0] * len(scores)
    mean = math.fsum(scores) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
    return [(score - mean) / deviation if deviation else 0.0 for score in scores]


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Write every row's score on the scale; the order stays."""
    scores = [number(value(row, parameters.score_field)) for row in rows]
    scaled = normalised(scores, parameters.method, parameters.min_value, parameters.max_value)
    target = parameters.output_field or parameters.score_field
    return [put(row, target, score) for row, score in zip(rows, scaled, strict=True)]


STAGE = Stage(
    stage_id="score_normalize",
    category="sort",
    summary="Rescale scores: min-max, z-score, softmax or to length 1",
    parameters=Parameters,
    run=run,
    percolate=DEPENDS_ON_OTHERS,
)
