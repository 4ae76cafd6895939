"""``mmr``: documents that are relevant and unlike each other (contract section 6).

Maximal marginal relevance (Carbonell and Goldstein 1998, "The use of MMR, diversity-based reranking").
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from schemas.api.base import CONFLICT, JsonObject, lacking, problem
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.stages.feature_choice import only_feature
from streams.engines.retrieval.stages.parameters import WEIGHT, FieldPath, Fraction, StageParameters
from streams.engines.retrieval.stages.percolating import DEPENDS_ON_OTHERS
from streams.engines.retrieval.stages.stage import Row, Stage, Vector
from streams.engines.retrieval.stages.values import identity, number, put, value
from streams.engines.retrieval.vectors.cosine import DIGITS, unit_rows

Metric: TypeAlias = Literal["cosine", "dot", "euclidean"]
Weight = Annotated[float, Field(ge=0)]


class DiversityFeature(StageParameters):
    """A feature and how much it counts among several."""

    checked: ClassVar[JsonObject] = {"properties": {"weight": WEIGHT}}

    feature_uri: str = Field(min_length=1)
    weight: Fraction = 1.0


class Parameters(StageParameters):
    """How much relevance counts against likeness, and by what documents are alike."""

    guide: ClassVar[dict[str, str]] = {
        "lambda_": "lambda",
        "top_n": "top_k",
        "embedding_field": "diversity_feature_uri",
    }
    checked: ClassVar[JsonObject] = {
        "anyOf": [
            lacking("diversity_features", "diversity_fields", "diversity_field_weights"),
            lacking("diversity_feature_uri", "diversity_fields", "diversity_field_weights"),
            lacking("diversity_feature_uri", "diversity_features"),
        ]
    }

    lambda_: Fraction = Field(default=0.7, alias="lambda")
    top_k: int = Field(default=25, ge=1, le=500)
    diversity_feature_uri: str | None = Field(default=None, min_length=1)
    diversity_features: Annotated[list[DiversityFeature], Field(min_length=1)] | None = None
    diversity_fields: Annotated[list[FieldPath], Field(min_length=1)] | None = None
    diversity_field_weights: dict[str, Weight] | None = None
    score_field: FieldPath = "score"
    mmr_score_field: FieldPath = "scores.mmr"
    similarity_metric: Metric = "cosine"

    @model_validator(mode="after")
    def _one_mode(self) -> Self:
        names = ("diversity_feature_uri", "diversity_features", "diversity_fields")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) > 1:
            raise problem(f"give one of {' and '.join(given)}", given[1])
        if self.diversity_features and not any(feature.weight for feature in self.diversity_features):
            raise problem("at least one feature needs a weight above 0", "diversity_features")
        if self.diversity_field_weights is not None:
            known = self.diversity_fields or []
            for name in self.diversity_field_weights:
                if name not in known:
                    raise problem(
                        f"{name} is none of diversity_fields", "diversity_field_weights", name, kind=CONFLICT
                    )
            if not any(self.diversity_field_weights.get(name, 1.0) for name in known):
                raise problem(
                    "at least one field needs a weight above 0", "diversity_field_weights", kind=CONFLICT
                )
        return self


class FeatureLikeness:
    """How alike documents are by vectors: the cosine, the dot product, or 1 / (1 + distance); 0 where one of the
    two has no vector of the same dimensions."""

    def __init__(self, vectors: Sequence[Vector | None], metric: Metric) -> None:
        self._metric = metric
        self._blocks: dict[int, tuple[NDArray[np.intp], NDArray[np.float64]]] = {}
        self._place: dict[int, tuple[int, int]] = {}
        self._count = len(vectors)
        for size in sorted({vector.size for vector in vectors if vector is not None}):
            ours = [
                (at, vector) for at, vector in enumerate(vectors) if vector is not None and vector.size == size
            ]
            owners = [at for at, _ in ours]
            rows = np.stack([one for _, one in ours]).astype(np.float64)
            self._blocks[size] = (np.array(owners), unit_rows(rows) if metric == "cosine" else rows)
            self._place.update({at: (size, row) for row, at in enumerate(owners)})

    def to(self, at: int) -> NDArray[np.float64]:
        """How alike every document is to one of them, shape ``(documents,)``."""
        found = np.zeros(self._count)
        if at not in self._place:
            return found
        size, row = self._place[at]
        owners, rows = self._blocks[size]
        if self._metric == "euclidean":
            found[owners] = 1.0 / (1.0 + np.sqrt(((rows - rows[row]) ** 2).sum(axis=1)))
        else:
            found[owners] = (rows * rows[row]).sum(axis=1)
        return found


class FieldLikeness:
    """How alike documents are by a field: 1 where both have the same value, else 0."""

    def __init__(self, rows: Sequence[Row], field: str) -> None:
        keys = [identity(found) if (found := value(row, field)) is not None else None for row in rows]
        numbers: dict[object, int] = {}
        self._codes = np.array([-1 if key is None else numbers.setdefault(key, len(numbers)) for key in keys])

    def to(self, at: int) -> NDArray[np.float64]:
        """How alike every document is to one of them, shape ``(documents,)``."""
        if self._codes[at] < 0:
            return np.zeros(len(self._codes))
        same: NDArray[np.float64] = (self._codes == self._codes[at]).astype(np.float64)
        return same


def mmr(
    relevance: Sequence[float],
    likeness: Sequence[tuple[float, FeatureLikeness | FieldLikeness]],
    weight: float,
    top_k: int,
) -> list[tuple[int, float]]:
    """Up to ``top_k`` places in the order chosen, each with its score when chosen: ``weight`` times its relevance
    minus ``1 - weight`` times its greatest likeness (rounded) to one chosen before, 0 at first; of equal scores
    the earlier place. ``likeness`` are measures with weights, which are normalised to sum 1."""
    total = sum(share for share, _ in likeness)
    relevant = np.array(relevance, dtype=np.float64)
    nearest = np.zeros(len(relevant))
    free = np.ones(len(relevant), dtype=bool)
    chosen: list[tuple[int, float]] = []
    for _ in range(min(top_k, len(relevant))):
        scores = np.where(free, weight * relevant - (1.0 - weight) * nearest, -np.inf)
        at = int(np.argmax(scores))
        now = sum((share / total * measure.to(at) for share, measure in likeness), np.zeros(len(relevant)))
        now = np.round(now, DIGITS)
        nearest = now if not chosen else np.maximum(nearest, now)
        chosen.append((at, float(scores[at])))
        free[at] = False
    return chosen


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Choose rows in turn and write the score of each."""
    if not rows:
        return []
    if parameters.diversity_fields is not None:
        weights = parameters.diversity_field_weights or {}
        likeness: list[tuple[float, FeatureLikeness | FieldLikeness]] = [
            (weights.get(field, 1.0), FieldLikeness(rows, field)) for field in parameters.diversity_fields
        ]
    else:
        features = parameters.diversity_features
        if features is None:
            uri = parameters.diversity_feature_uri or await only_feature(rows, run, "diversity_feature_uri")
            features = [DiversityFeature(feature_uri=uri)]
        likeness = [
            (
                feature.weight,
                FeatureLikeness(await run.vectors(rows, feature.feature_uri), parameters.similarity_metric),
            )
            for feature in features
        ]
    relevance = [number(value(row, parameters.score_field)) or 0.0 for row in rows]
    chosen = mmr(relevance, likeness, parameters.lambda_, parameters.top_k)
    return [put(rows[at], parameters.mmr_score_field, score) for at, score in chosen]


STAGE = Stage(
    stage_id="mmr",
    category="sort",
    summary="Put documents first that are relevant and unlike the ones before them",
    parameters=Parameters,
    run=run,
    percolate=DEPENDS_ON_OTHERS,
)
