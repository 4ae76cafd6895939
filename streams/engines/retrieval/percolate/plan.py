"""What a standing alert asks of one arriving document: a predicate, searches with thresholds, score tests.

A plan is a pure value; :func:`judge` is its plain evaluation once predicate and cosines are known, shared by
the reference (``reference.py``) and the percolator, so that they can differ only in how they find candidates.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.engines.retrieval.filters.nodes import ALWAYS, Node, describe
from streams.engines.retrieval.vectors.cosine import DIGITS

if TYPE_CHECKING:
    from streams.engines.retrieval.execution.prepare import PreparedStage

MAX_REASON: Final = 300
"""Characters of a reason."""
NO_INPUTS: Final[Mapping[str, Any]] = MappingProxyType({})
"""One for all plans that need none."""
COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
}


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """One search of a ``feature_search`` with a constant query."""

    feature_uri: str
    query: NDArray[np.float64]
    """Unit vector, shape ``(dimensions,)``."""
    min_score: float | None
    """The document is found by this search when its rounded cosine is at least this."""
    weight: float = 1.0
    optional: bool = False
    """A document without the feature does not count against the score."""


@dataclass(frozen=True, slots=True)
class ScoreTest:
    """A comparison the document's score must pass."""

    operator: str
    value: float

    def holds(self, score: float) -> bool:
        """Whether ``score`` passes."""
        return COMPARISONS[self.operator](score, self.value)


@dataclass(frozen=True, eq=False)
class Plan:
    """A retriever and its alert, ready to be checked against one document."""

    predicate: Node = ALWAYS
    searches: tuple[Search, ...] = ()
    fusion: Literal["mean", "max"] = "mean"
    score_tests: tuple[ScoreTest, ...] = ()
    tail: "tuple[PreparedStage, ...]" = ()
    """Stages that must still run on the one row of a document that matches (``execute_tail``): they change the
    row, or look at more of it than a predicate can. The alert's threshold is decided on the rows they leave."""
    inputs: Mapping[str, Any] = field(default_factory=lambda: NO_INPUTS)
    """The constants that fill the templates of ``tail``."""
    max_time_ms: float | None = None
    """The retriever's budget (contract 4.5): what ``tail`` may take of one document."""
    max_credits: float | None = None

    @cached_property
    def reason(self) -> str:
        """Why a document matches, as far as it does not depend on the document. Of most alerts nobody asks."""
        if self.predicate == ALWAYS:
            return ""
        text = describe(self.predicate)
        return text if len(text) <= MAX_REASON else text[: MAX_REASON - 3] + "..."

    def passes(self, score: float) -> bool:
        """Whether a score passes every test."""
        return all(test.holds(score) for test in self.score_tests)

    @property
    def bounds(self) -> tuple[float, ...] | None:
        """For each search a cosine without which it cannot make the alert match; ``None`` when the searches
        alone rule nothing out, so that the predicate has to."""
        if not self.searches:
            return None
        found = [search.min_score for search in self.searches]
        if len(found) == 1 and found[0] is None:
            lower = [test.value for test in self.score_tests if test.operator in ("gt", "gte", "eq")]
            # Negative cosines are reported as 0, so only a bound above 0 excludes anything.
            found = [max(lower)] if lower and max(lower) > 0 else [None]
        bounds = tuple(bound for bound in found if bound is not None)
        return bounds if len(bounds) == len(self.searches) else None


class Verdict(NamedTuple):
    """A match: the score in [0, 1], the raw cosine per feature, and why."""

    score: float
    matched_features: dict[str, float] | None
    reason: str


def judge(plan: Plan, cosines: Sequence[float | None]) -> Verdict | None:
    """Whether a document that fits the predicate matches, from its cosine for each search (``None`` where it
    lacks the feature).

    A document is found when any search finds it, as in a fusion of result lists. Its score is the weighted
    mean of the cosines (or their maximum); a missing feature counts 0 unless its search is optional.
    """
    if not plan.searches:
        return Verdict(1.0, None, plan.reason) if plan.passes(1.0) else None
    if len(plan.searches) == 1:
        return judge_one(plan, plan.searches[0], cosines[0])
    rounded = [None if cosine is None else round(cosine, DIGITS) for cosine in cosines]
    found = False
    total = weights = 0.0
    best: float | None = None
    features: dict[str, float] = {}
    for search, cosine in zip(plan.searches, rounded, strict=True):
        if cosine is None:
            weights += 0.0 if search.optional else search.weight
            continue
        found = found or search.min_score is None or cosine >= search.min_score
        total += search.weight * cosine
        weights += search.weight
        best = cosine if best is None else max(best, cosine)
        features[search.feature_uri] = max(cosine, features.get(search.feature_uri, cosine))
    if not found or best is None or weights <= 0.0:
        return None
    return verdict(plan, best if plan.fusion == "max" else round(total / weights, DIGITS), features)


def judge_one(plan: Plan, search: Search, cosine: float | None) -> Verdict | None:
    """As :func:`judge` for a plan with a single search: its cosine is the score, whatever its weight."""
    if cosine is None:
        return None
    rounded = round(cosine, DIGITS)
    if search.min_score is not None and rounded < search.min_score:
        return None
    return verdict(plan, rounded, {search.feature_uri: rounded})


def verdict(plan: Plan, raw: float, features: dict[str, float]) -> Verdict | None:
    """What is said of a document that was found, from its rounded score and cosines; ``None`` when it does not
    pass the plan's tests of the score."""
    score, words = similarity(raw)
    if plan.score_tests and not plan.passes(score):
        return None
    return Verdict(score, features, f"{plan.reason}; {words}" if plan.reason else words)


def similarity(raw: float) -> tuple[float, str]:
    """A rounded cosine as a score, and in words."""
    score = raw if 0.0 < raw <= 1.0 else float(raw > 0.0)
    return score, f"similarity {score:g}"
