"""Why one alert matches one document, or does not: what each condition and search saw and gave (design section 4).

The plain evaluation once more (``percolate/reference.py``), with its steps kept; the verdict is the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.execution.verdict import Weighed
from streams.engines.retrieval.explain.index import Nomination, nomination
from streams.engines.retrieval.explain.rows import (
    MAX_VALUES,
    Json,
    LookedUp,
    Ran,
    shorten,
    verdict_json,
)
from streams.engines.retrieval.filters.nodes import ALWAYS, And, Condition, Node, Not, describe
from streams.engines.retrieval.filters.paths import resolve
from streams.engines.retrieval.percolate.plan import Plan, Search, Verdict, judge
from streams.engines.retrieval.percolate.reference import cosine
from streams.engines.retrieval.vectors.cosine import DIGITS


@dataclass(frozen=True, slots=True)
class Tested:
    """A node of the tree of conditions, with what it gave."""

    kind: str
    """``condition``, ``and``, ``or``, ``not``."""
    holds: bool
    condition: str = ""
    """The condition in words."""
    values: tuple[str, ...] = ()
    """What the condition's field leads to, as JSON: the first :data:`MAX_VALUES`, each cut to
    :data:`MAX_SHOWN` characters."""
    more: int = 0
    """Values that are not shown."""
    parts: "tuple[Tested, ...]" = ()

    def to_json(self) -> Json:
        """As the API gives it."""
        if self.kind == "condition":
            values = {"values": list(self.values), "more_values": self.more}
            return {"kind": self.kind, "holds": self.holds, "condition": self.condition, **values}
        return {"kind": self.kind, "holds": self.holds, "parts": [part.to_json() for part in self.parts]}


@dataclass(frozen=True, slots=True)
class Searched:
    """A search, with what it gave."""

    feature_uri: str
    similarity: float | None
    """Rounded as scores are; ``None`` when the document has no such vector."""
    min_score: float | None
    found: bool

    def to_json(self) -> Json:
        """As the API gives it."""
        return {
            "feature_uri": self.feature_uri,
            "similarity": self.similarity,
            "min_score": self.min_score,
            "found": self.found,
        }

    def __str__(self) -> str:
        if self.similarity is None:
            return f"the document has no vector for {self.feature_uri} that the query can be compared with"
        least = "" if self.min_score is None else f", min_score is {self.min_score:g}"
        return f"the similarity of {self.feature_uri} is {self.similarity:g}{least}"


@dataclass(frozen=True, slots=True)
class Scored:
    """A test of the alert's on the score, with what it gave."""

    operator: str
    value: float
    holds: bool

    def to_json(self) -> Json:
        """As the API gives it."""
        return {"operator": self.operator, "value": self.value, "holds": self.holds}


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole of it."""

    matches: bool
    score: float | None
    """What the searches give, whether or not the alert matches; 1.0 for one that only filters; ``None`` when no
    search finds the document."""
    reason: str
    """In a sentence, why."""
    conditions: Tested | None
    """``None`` when the alert asks none."""
    searches: tuple[Searched, ...]
    score_tests: tuple[Scored, ...]
    index: Nomination
    later_stages: tuple[str, ...] = ()
    """Stages that run on a document that matches so far; whether the alert fires depends on what they leave."""
    tail: Ran | None = None
    """What they did, where they were run: ``explain_tail.py``."""
    look_up: LookedUp | None = None
    """Of an alert that looks the document up: ``explain_look_up.py``."""
    verdict: Weighed | None = None
    """The alert's condition on the rows that the stages left."""

    def to_json(self) -> Json:
        """As the API gives it."""
        return {
            "matches": self.matches,
            "score": self.score,
            "reason": self.reason,
            "conditions": None if self.conditions is None else self.conditions.to_json(),
            "searches": [search.to_json() for search in self.searches],
            "score_tests": [test.to_json() for test in self.score_tests],
            "index": self.index.to_json(),
            "later_stages": list(self.later_stages),
            "tail": None if self.tail is None else self.tail.to_json(),
            "look_up": None if self.look_up is None else self.look_up.to_json(),
            "verdict": None if self.verdict is None else verdict_json(self.verdict),
        }


def explain(plan: Plan, document: DocumentEvent) -> Explanation:
    """Why ``document`` matches ``plan``, or why not."""
    root = document.root()
    conditions = None if plan.predicate == ALWAYS else _tested(plan.predicate, root)
    cosines = [cosine(search, document) for search in plan.searches]
    searches = tuple(_searched(search, found) for search, found in zip(plan.searches, cosines, strict=True))
    scored = judge(replace(plan, score_tests=()), cosines)
    verdict = judge(plan, cosines) if conditions is None or conditions.holds else None
    tests = tuple(
        Scored(test.operator, test.value, scored is not None and test.holds(scored.score))
        for test in plan.score_tests
    )
    return Explanation(
        verdict is not None,
        None if scored is None else scored.score,
        _reason(verdict, conditions, searches, scored, tests),
        conditions,
        searches,
        tests,
        nomination(plan, root, [search.similarity for search in searches]),
        tuple(stage.name for stage in plan.tail),
    )


def _tested(node: Node, root: Mapping[str, Any]) -> Tested:
    if isinstance(node, Condition):
        values = resolve(root, node.path)
        shown = tuple(shorten(value) for value in values[:MAX_VALUES])
        return Tested("condition", node.test(values), describe(node), shown, max(0, len(values) - MAX_VALUES))
    if isinstance(node, Not):
        part = _tested(node.part, root)
        return Tested("not", not part.holds, parts=(part,))
    parts = tuple(_tested(part, root) for part in node.parts)
    if isinstance(node, And):
        return Tested("and", all(part.holds for part in parts), parts=parts)
    return Tested("or", any(part.holds for part in parts), parts=parts)


def _searched(search: Search, found: float | None) -> Searched:
    similarity = None if found is None else round(found, DIGITS)
    reached = similarity is not None and (search.min_score is None or similarity >= search.min_score)
    return Searched(search.feature_uri, similarity, search.min_score, reached)


def _reason(
    verdict: Verdict | None,
    conditions: Tested | None,
    searches: Sequence[Searched],
    scored: Verdict | None,
    tests: Sequence[Scored],
) -> str:
    if verdict is not None:
        return verdict.reason or "the alert asks nothing that the document could fail"
    if conditions is not None and not conditions.holds:
        return "; ".join(_blamed(conditions, False)[:MAX_VALUES])
    if scored is None:
        return "; ".join(str(search) for search in searches if not search.found)
    failed = [f"{test.operator} {test.value:g}" for test in tests if not test.holds]
    return f"the score {scored.score:g} is not {' and not '.join(failed)}"


def _blamed(node: Tested, gave: bool) -> list[str]:
    """The conditions because of which a node gave what it gave."""
    if node.kind == "condition":
        saw = f", the document has {', '.join(node.values)}" if node.values else ", which the document lacks"
        return [f"{node.condition} is {'true' if gave else 'false'}{saw}"]
    if node.kind == "not":
        return _blamed(node.parts[0], not gave)
    found = [_blamed(part, gave) for part in node.parts if part.holds is gave]
    if not found:
        return ["an empty list of alternatives is never met"]
    # One part decides a conjunction that fails and an alternative that holds; all of them the rest.
    return found[0] if (node.kind == "and") is not gave else [words for part in found for words in part]
