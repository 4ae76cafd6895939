"""By which index the percolator finds an alert for a document, or leaves it out without evaluating it.

An alert whose searches have thresholds is found by its vectors, any other by the conjunctions of its predicate's
normal form (``percolate/normal.py``): every requirement of one of them must be met. One that has both thresholds
and a filter is found by the filter where few of the alerts that stood when it was added ask for the same
(``Percolator``): one alert alone cannot tell, so both ways are told. Being found is necessary for a match, not
sufficient.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streams.engines.retrieval.filters.nodes import ALWAYS, Condition, describe, evaluate
from streams.engines.retrieval.filters.paths import resolve
from streams.engines.retrieval.filters.tokens import stems
from streams.engines.retrieval.filters.values import ordered, scalars, strings
from streams.engines.retrieval.percolate.normal import (
    Composite,
    Conjunction,
    Interval,
    Literal,
    Present,
    Requirement,
    normal_form,
)
from streams.engines.retrieval.percolate.plan import Plan

MAX_LISTED: Final = 5


@dataclass(frozen=True, slots=True)
class Nomination:
    """Whether an index brings the alert up for a document."""

    kind: str
    """``vector``, ``attribute``, ``look_up``, or ``none`` for an alert that is evaluated for every document."""
    found: bool
    """``False`` only where it is ruled out whatever other alerts there are."""
    words: str
    """By what it was found or ruled out."""

    def to_json(self) -> dict[str, Any]:
        """As the API gives it."""
        return {"kind": self.kind, "found": self.found, "words": self.words}


def nomination(plan: Plan, root: Mapping[str, Any], similarities: Sequence[float | None]) -> Nomination:
    """How the percolator comes to look at ``plan`` for a document with these root fields and similarities."""
    if plan.bounds is None:
        return _by_filter(plan, root)
    by_vector = _by_vector(plan, plan.bounds, similarities)
    conjunctions = normal_form(plan.predicate).conjunctions
    if not conjunctions:
        return _by_filter(plan, root)
    if any(all(negated for _, negated in conjunction) for conjunction in conjunctions):
        # Nothing that few documents have: its filter never finds it.
        return by_vector
    by_filter = _by_filter(plan, root)
    words = f"{by_vector.words}; or, where few other alerts ask for the same by their filter, {by_filter.words}"
    return Nomination("vector", by_vector.found or by_filter.found, words)


def _by_filter(plan: Plan, root: Mapping[str, Any]) -> Nomination:
    if plan.predicate == ALWAYS:
        return Nomination("none", True, "evaluated for every document: it asks no condition")
    conjunctions = normal_form(plan.predicate).conjunctions
    if not conjunctions:
        return Nomination("attribute", False, "ruled out for every document: its conditions contradict each other")
    if () in conjunctions:
        return Nomination("none", True, "evaluated for every document: its conditions cannot be looked up")
    for conjunction in conjunctions:
        if all(_met(literal, root) for literal in conjunction):
            return Nomination("attribute", True, f"found through {_all(conjunction)} (true here)")
    failed = dict.fromkeys(
        next(_literal(literal) for literal in conjunction if not _met(literal, root))
        for conjunction in conjunctions
    )
    listed = " and ".join(list(failed)[:MAX_LISTED])
    more = f" and {len(failed) - MAX_LISTED} more" if len(failed) > MAX_LISTED else ""
    return Nomination("attribute", False, f"ruled out by {listed}{more} (not so here)")


def _by_vector(plan: Plan, bounds: Sequence[float], similarities: Sequence[float | None]) -> Nomination:
    seen = []
    for search, bound, similarity in zip(plan.searches, bounds, similarities, strict=True):
        if similarity is not None and similarity >= bound:
            words = f"found through the similarity of {search.feature_uri}: {similarity:g}, at least {bound:g}"
            return Nomination("vector", True, words)
        here = "no such vector" if similarity is None else f"{similarity:g}"
        seen.append(f"the similarity of {search.feature_uri}: {here}, less than {bound:g}")
    return Nomination("vector", False, "ruled out by " + " and ".join(seen))


def _met(literal: Literal, root: Mapping[str, Any]) -> bool:
    requirement, negated = literal
    return _holds(requirement, resolve(root, requirement.path)) is not negated


def _holds(requirement: Requirement, values: Sequence[Any]) -> bool:
    if isinstance(requirement, Condition):
        return requirement.test(values)
    if isinstance(requirement, Present):
        return any(value is not None for value in values)
    if isinstance(requirement, Composite):
        return bool(values) and evaluate(requirement.node, lambda condition: condition.test(values))
    if isinstance(requirement, Interval):
        found = [value for item in scalars(values) if (value := _number(item, requirement.kind)) is not None]
        return any(value >= requirement.low for value in found) and any(
            value <= requirement.high for value in found
        )
    return any(requirement.stem in stems(text) for text in strings(values))


def _number(value: Any, kind: str) -> Any:
    return ordered(value, "number" if kind == "number" else "instant", True)


def _all(conjunction: Conjunction) -> str:
    words = [_literal(literal) for literal in conjunction]
    more = f" and {len(words) - MAX_LISTED} more" if len(words) > MAX_LISTED else ""
    return " and ".join(words[:MAX_LISTED]) + more


def _literal(literal: Literal) -> str:
    requirement, negated = literal
    words = _words(requirement)
    return f"not ({words})" if negated else words


def _words(requirement: Requirement) -> str:
    if isinstance(requirement, Condition):
        return describe(requirement)
    path = requirement.path.text
    if isinstance(requirement, Present):
        return f"{path} is there and not null"
    if isinstance(requirement, Composite):
        return describe(requirement.node)
    if isinstance(requirement, Interval):
        return f"{path} from {requirement.low:g} to {requirement.high:g}"
    return f'{path} has a word with the stem "{requirement.stem}"'
