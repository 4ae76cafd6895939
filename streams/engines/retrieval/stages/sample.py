"""``sample``: some of the documents, at random and repeatably (contract section 6)."""

import random
from collections.abc import Hashable, Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from schemas.api.base import JsonObject, having
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.stages.parameters import FieldPath, StageParameters
from streams.engines.retrieval.stages.percolating import DEPENDS_ON_OTHERS
from streams.engines.retrieval.stages.stage import Row, Stage
from streams.engines.retrieval.stages.values import by_score, identity, value


class Parameters(StageParameters):
    """How many, and how they are drawn."""

    guide: ClassVar[dict[str, str]] = {
        "method": "strategy",
        "size": "count",
        "group_field": "stratify_by",
        "samples_per_group": "min_per_stratum",
    }
    checked: ClassVar[JsonObject] = {
        "anyOf": [
            having("stratify_by"),
            {"properties": {"strategy": {"enum": ["random", "reservoir", "systematic", None]}}},
        ]
    }

    count: int = Field(default=10, ge=1, le=1000)
    strategy: Literal["random", "stratified", "reservoir", "systematic"] = "random"
    stratify_by: FieldPath | None = None
    min_per_stratum: int = Field(default=1, ge=0)
    """As far as ``count`` allows."""
    seed: int | None = None
    """The same seed over the same documents gives the same sample; without one it follows from the execution."""
    preserve_top_k: int = Field(default=0, ge=0)
    """So many of the best by score are always in, the rest is drawn from the others."""

    @model_validator(mode="after")
    def _field_of_strata(self) -> Self:
        if self.strategy == "stratified" and self.stratify_by is None:
            raise ValueError("the strategy stratified needs stratify_by, the field to take every value of")
        return self


def sample(rows: Sequence[Row], parameters: Parameters, rng: random.Random) -> list[Row]:
    """At most ``count`` rows, in the order they came."""
    best = by_score(rows)[: min(parameters.preserve_top_k, parameters.count)] if parameters.preserve_top_k else []
    kept = {id(row) for row in best}
    rest = [at for at, row in enumerate(rows) if id(row) not in kept]
    wanted = min(parameters.count - len(best), len(rest))
    if parameters.strategy == "stratified":
        drawn = _stratified(rows, rest, wanted, parameters, rng)
    elif parameters.strategy == "reservoir":
        drawn = _reservoir(rest, wanted, rng)
    elif parameters.strategy == "systematic":
        step = len(rest) / wanted if wanted else 0.0
        start = rng.random() * step
        drawn = [rest[min(int(start + index * step), len(rest) - 1)] for index in range(wanted)]
    else:
        drawn = rng.sample(rest, wanted)
    chosen = set(drawn)
    return [row for at, row in enumerate(rows) if at in chosen or id(row) in kept]


def _reservoir(places: Sequence[int], wanted: int, rng: random.Random) -> list[int]:
    """Algorithm R (Vitter 1985, "Random sampling with a reservoir")."""
    reservoir = list(places[:wanted])
    for seen, place in enumerate(places[wanted:], start=wanted + 1):
        at = rng.randrange(seen)
        if at < wanted:
            reservoir[at] = place
    return reservoir


def _stratified(
    rows: Sequence[Row], places: Sequence[int], wanted: int, parameters: Parameters, rng: random.Random
) -> list[int]:
    assert parameters.stratify_by is not None
    strata: dict[Hashable, list[int]] = {}
    for place in places:
        strata.setdefault(identity(value(rows[place], parameters.stratify_by)), []).append(place)
    sizes = shares([len(stratum) for stratum in strata.values()], wanted, parameters.min_per_stratum)
    return [
        place for stratum, size in zip(strata.values(), sizes, strict=True) for place in rng.sample(stratum, size)
    ]


def shares(sizes: Sequence[int], wanted: int, least: int) -> list[int]:
    """How many to take of each stratum, ``wanted`` in all (or everything): first ``least`` of each in turn, the
    rest in proportion to the sizes by largest remainder."""
    taken = [0] * len(sizes)
    left = min(wanted, sum(sizes))
    for _ in range(min(least, max(sizes, default=0))):
        for at, size in enumerate(sizes):
            if left and taken[at] < size:
                taken[at] += 1
                left -= 1
    total = sum(sizes)
    ideal = [size * wanted / total if total else 0.0 for size in sizes]
    while left:
        # The stratum furthest below its share; of equals the first.
        at = max(
            (at for at in range(len(sizes)) if taken[at] < sizes[at]), key=lambda at: (ideal[at] - taken[at], -at)
        )
        taken[at] += 1
        left -= 1
    return taken


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Draw."""
    return sample(rows, parameters, run.rng(parameters.seed))


STAGE = Stage(
    stage_id="sample",
    category="reduce",
    summary="Draw a random, stratified, reservoir or systematic sample of the documents",
    parameters=Parameters,
    run=run,
    percolate=DEPENDS_ON_OTHERS,
)
