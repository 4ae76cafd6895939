"""Predicates as conjunctions of literals, the form in which they are indexed.

A literal is a *requirement* on one field of the document, or its negation. Every requirement is false for a
document without the field, so that only fields that are there have to be looked at. See S. E. Whang et al.,
"Indexing Boolean expressions", VLDB 2009.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, product
from typing import Any, Final, TypeAlias

from streams.engines.retrieval.filters.nodes import And, Condition, Node, Not, Or, conditions, evaluate
from streams.engines.retrieval.filters.paths import Path

MAX_CONJUNCTIONS: Final = 64
"""Alternatives are multiplied out up to this many; beyond, a part is checked by evaluation."""

_TOKENS: Final = ("phrase", "words")
_LOWER: Final = ("gt", "gte")
_UPPER: Final = ("lt", "lte")
_BOUNDS: Final = frozenset((*_LOWER, *_UPPER))
_EXACT: Final = 2**53


@dataclass(frozen=True, slots=True)
class Present:
    """The field holds a value that is not null."""

    path: Path


@dataclass(frozen=True, slots=True)
class Stem:
    """Some word of the field has this stem."""

    path: Path
    stem: str


@dataclass(frozen=True, slots=True)
class Interval:
    """Some value of the field is at least ``low`` and some value at most ``high``."""

    path: Path
    kind: str
    """What is compared, as ``values.order_kind`` says: numbers or instants."""
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Composite:
    """A tree of conditions on one field, false where the field is missing."""

    path: Path
    node: Node


Requirement: TypeAlias = Condition | Present | Stem | Interval | Composite
Literal: TypeAlias = tuple[Requirement, bool]
"""A requirement, and whether it is negated."""
Conjunction: TypeAlias = tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Normal:
    """The predicate holds for a document only if one of the conjunctions does."""

    conjunctions: tuple[Conjunction, ...]
    exact: bool
    """That is enough: nothing has to be evaluated besides."""
    exact_apart: bool
    """It is enough unless a field holds several strings, whose words were looked at together."""


def normal_form(node: Node) -> Normal:
    """The conjunctions of a predicate."""
    form = _Form()
    found = form.terms(node, True)
    return Normal(tuple(_merged(term) for term in found), form.exact, form.exact_apart)


class _Form:
    def __init__(self) -> None:
        self.exact = True
        self.exact_apart = True

    def terms(self, node: Node, positive: bool) -> list[Conjunction]:
        """The alternatives of ``node``, or of its negation."""
        if isinstance(node, Condition):
            return self._condition(node, positive)
        if isinstance(node, Not):
            return self.terms(node.part, not positive)
        if isinstance(node, And) == positive:
            return self._product([self.terms(part, positive) for part in node.parts])
        return self._union(node.parts, positive)

    def _condition(self, condition: Condition, positive: bool) -> list[Conjunction]:
        if condition.operator == "is_null":
            return [((Present(condition.path), positive),)]
        if condition.operator == "words":
            return self._words(condition, positive)
        return [((condition, not positive),)]

    def _words(self, condition: Condition, positive: bool) -> list[Conjunction]:
        assert isinstance(condition.operand, frozenset)
        stems = [Stem(condition.path, stem) for stem in sorted(condition.operand)]
        if len(stems) == 1:
            return [((stems[0], not positive),)]
        if not positive:
            self.exact = False
            return [()]
        self.exact_apart = False
        return [tuple((stem, False) for stem in stems)]

    def _union(self, parts: Iterable[Node], positive: bool) -> list[Conjunction]:
        found: list[Conjunction] = []
        on_one: dict[Path, list[Node]] = {}
        for part in parts:
            path = _only_path(part)
            if path is None:
                found += self.terms(part, positive)
            else:
                on_one.setdefault(path, []).append(part)
        for path, group in on_one.items():
            if len(group) == 1 and isinstance(group[0], Condition):
                found += self._condition(group[0], positive)
            else:
                whole = Or(tuple(group)) if positive else And(tuple(group))
                found.append((_composite(path, whole, positive),))
        return found

    def _product(self, factors: list[list[Conjunction]]) -> list[Conjunction]:
        single = [factor[0] for factor in factors if len(factor) == 1]
        if len(single) == len(factors):
            only = tuple(dict.fromkeys(chain.from_iterable(single)))
            return [only] if _consistent(only) else []
        found: list[Conjunction] = [()]
        for factor in sorted(factors, key=len):
            if len(found) * len(factor) > MAX_CONJUNCTIONS and found != [()]:
                self.exact = False
                continue
            found = [
                joined for left, right in product(found, factor) if _consistent(joined := _joined(left, right))
            ]
        return found


def _joined(left: Conjunction, right: Conjunction) -> Conjunction:
    return tuple(dict.fromkeys(left + right)) if left else right


def _consistent(term: Conjunction) -> bool:
    if len(term) < 2 or not any(negated for _, negated in term):
        return True
    return len({requirement for requirement, _ in term}) == len(term)


def _only_path(node: Node) -> Path | None:
    """The field that all conditions of a tree are on, where it has one and no condition on words."""
    found = conditions(node)
    if not found or any(condition.operator in _TOKENS for condition in found):
        return None
    path = found[0].path
    return path if all(condition.path == path for condition in found) else None


def _composite(path: Path, node: Node, positive: bool) -> Literal:
    if evaluate(node, lambda condition: condition.operator == "is_null"):
        return Composite(path, Not(node)), positive
    return Composite(path, node), not positive


def _merged(term: Conjunction) -> Conjunction:
    """The literals with lower and upper bounds on a field made one interval: alone, either lets half of all
    values through."""
    if len(term) < 2:
        return term
    asked = [
        part for part, negated in term if not negated and type(part) is Condition and part.operator in _BOUNDS
    ]
    if len(asked) < 2:
        return term
    bounds: dict[tuple[Path, str], list[Condition]] = {}
    for requirement in asked:
        assert isinstance(requirement.operand, tuple)
        kind, bound = requirement.operand
        if kind != "string" and _representable(bound):
            bounds.setdefault((requirement.path, kind), []).append(requirement)
    for (path, kind), group in bounds.items():
        lows = [_closed(c, math.inf) for c in group if c.operator in _LOWER]
        highs = [_closed(c, -math.inf) for c in group if c.operator in _UPPER]
        if lows and highs and max(lows) <= min(highs):
            both: Literal = (Interval(path, kind, max(lows), min(highs)), False)
            term = (*(literal for literal in term if literal not in [(c, False) for c in group]), both)
    return term


def _representable(bound: Any) -> bool:
    return isinstance(bound, float) or abs(bound) <= _EXACT


def _closed(condition: Condition, towards: float) -> float:
    assert isinstance(condition.operand, tuple)
    bound = float(condition.operand[1])
    return math.nextafter(bound, towards) if condition.operator in ("gt", "lt") else bound
