"""Several ranked lists made one (contract section 6, fusion). Pure."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, TypeAlias, TypeVar

K = TypeVar("K", tuple[str, str, int], int)
Ranked: TypeAlias = Sequence[tuple[K, float]]
"""Keys with scores, best first."""
Fusion: TypeAlias = Literal["rrf", "dbsf", "weighted", "max"]

RANK_CONSTANT: Final = 60
_NEUTRAL: Final = 0.5


def fuse(how: Fusion, lists: Sequence[tuple[Ranked[K], float]]) -> list[tuple[K, float]]:
    """One list, best first, equal scores by key; ``lists`` come with their weights.

    ``rrf``: sum of weight / (60 + rank), rank from 1 (Cormack et al. 2009, "Reciprocal rank fusion").
    ``dbsf``: each list's scores scaled so that its mean ± 3 standard deviations become 0 and 1, then summed with
    weights. ``weighted``: sum of weight times score. ``max``: the best score, whatever the weights. A key that a
    list has not adds nothing.
    """
    terms: dict[K, list[float]] = {}
    for ranked, weight in lists:
        for key, value in _SCORES[how](ranked, weight):
            terms.setdefault(key, []).append(value)
    # fsum: the order of the searches must not decide a tie.
    combine: Callable[[Sequence[float]], float] = max if how == "max" else math.fsum
    fused = [(key, combine(values)) for key, values in terms.items()]
    return sorted(fused, key=lambda item: (-item[1], item[0]))


def _rrf(ranked: Ranked[K], weight: float) -> list[tuple[K, float]]:
    return [(key, weight / (RANK_CONSTANT + rank)) for rank, (key, _) in enumerate(ranked, start=1)]


def _dbsf(ranked: Ranked[K], weight: float) -> list[tuple[K, float]]:
    if not ranked:
        return []
    scores = [score for _, score in ranked]
    mean = math.fsum(scores) / len(scores)
    spread = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
    if spread < 1e-12:
        return [(key, weight * _NEUTRAL) for key, _ in ranked]
    low = mean - 3 * spread
    return [(key, weight * min(1.0, max(0.0, (score - low) / (6 * spread)))) for key, score in ranked]


def _weighted(ranked: Ranked[K], weight: float) -> list[tuple[K, float]]:
    return [(key, weight * score) for key, score in ranked]


def _max(ranked: Ranked[K], _: float) -> list[tuple[K, float]]:
    return list(ranked)


_SCORES: Final[Mapping[str, Callable[[Ranked[K], float], list[tuple[K, float]]]]] = {
    "rrf": _rrf,
    "dbsf": _dbsf,
    "weighted": _weighted,
    "max": _max,
}
