"""Witnesses: for each predicate something selective that must be true of a document it holds for.

An index over the witnesses nominates candidates; only they are evaluated. A witness is necessary, never
sufficient, so an index may nominate too much but must not miss. Everything is case-folded here, which is
sound because equal, contained and prefixed strings stay so when both sides are folded.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from streams.engines.retrieval.filters.nodes import And, Condition, Node, Not
from streams.engines.retrieval.filters.paths import Path


@dataclass(frozen=True, slots=True)
class Equality:
    """Some value of the field, or an element of it, has this folded key."""

    path: Path
    key: Hashable


@dataclass(frozen=True, slots=True)
class Substring:
    """Some string of the field contains this folded text, which is not empty."""

    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Bound:
    """Some value of the field stands in this relation to a bound of its kind."""

    path: Path
    operator: str
    kind: str
    bound: Any


Witness: TypeAlias = Equality | Substring | Bound

_EQUALITY: Final = 1
_SUBSTRING: Final = 4
_SHORT_SUBSTRING: Final = 50
_BOUND: Final = 1_000


@dataclass(frozen=True, slots=True)
class Choice:
    """Witnesses one of which must be true, and how many documents they may nominate (relative)."""

    cost: int
    witnesses: tuple[Witness, ...]


def choose(node: Node) -> Choice | None:
    """The most selective witnesses of a predicate; ``None`` when nothing in it can be indexed."""
    if isinstance(node, Condition):
        return _of_condition(node)
    if isinstance(node, Not):
        return None
    choices = [choose(part) for part in node.parts]
    known = [choice for choice in choices if choice is not None]
    if isinstance(node, And):
        return min(known, key=lambda choice: choice.cost, default=None)
    if len(known) < len(choices):
        return None
    witnesses = tuple(dict.fromkeys(witness for choice in known for witness in choice.witnesses))
    return Choice(sum(choice.cost for choice in known), witnesses)


def _of_condition(condition: Condition) -> Choice | None:
    path, operand = condition.path, condition.operand
    match condition.operator:
        case "eq":
            return Choice(_EQUALITY, (Equality(path, _folded(operand)),))
        case "in":
            assert isinstance(operand, frozenset)
            keys = dict.fromkeys(_folded(key) for key in operand)
            return Choice(len(keys) * _EQUALITY, tuple(Equality(path, key) for key in keys))
        case "contains" if not isinstance(operand, str):
            return Choice(_EQUALITY, (Equality(path, _folded(operand)),))
        case "contains" | "text" | "starts_with" | "ends_with":
            assert isinstance(operand, str)
            return _substring(path, operand)
        case "phrase":
            assert isinstance(operand, tuple)
            return _substring(path, max(operand, key=len))
        case "gt" | "gte" | "lt" | "lte":
            assert isinstance(operand, tuple)
            kind, bound = operand
            # Folding does not keep the order of strings.
            if kind == "string" and condition.case_sensitive:
                return None
            return Choice(_BOUND, (Bound(path, condition.operator, kind, bound),))
    return None


def _substring(path: Path, text: str) -> Choice | None:
    folded = text.casefold()
    if not folded:
        return None
    cost = _SUBSTRING if len(folded) > 2 else _SHORT_SUBSTRING
    return Choice(cost, (Substring(path, folded),))


def _folded(key: Hashable) -> Hashable:
    if isinstance(key, str):
        return key.casefold()
    if isinstance(key, tuple) and key[0] == "list":
        return ("list", *(_folded(item) for item in key[1:]))
    return key
