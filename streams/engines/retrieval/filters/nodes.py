"""The immutable tree a filter is parsed to, and its plain evaluation, the reference for every index."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeAlias

from streams.engines.retrieval.filters.operators import Test
from streams.engines.retrieval.filters.paths import Path


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one field. Two conditions are equal when they hold for the same documents by the same
    test, however their values were spelled."""

    path: Path
    operator: str
    operand: Hashable
    case_sensitive: bool
    test: Test = field(compare=False, repr=False)
    words: str = field(compare=False, default="")
    """The condition for people, e.g. ``category eq "health"``."""


@dataclass(frozen=True, slots=True)
class And:
    """Holds when every part does; of nothing, always."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """Holds when any part does; of nothing, never."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """Holds when the part does not."""

    part: "Node"


Node: TypeAlias = Condition | And | Or | Not
ALWAYS = And(())


def evaluate(node: Node, truth: Callable[[Condition], bool]) -> bool:
    """Whether the tree holds, given how to tell for a condition."""
    if isinstance(node, Condition):
        return truth(node)
    if isinstance(node, And):
        return all(evaluate(part, truth) for part in node.parts)
    if isinstance(node, Or):
        return any(evaluate(part, truth) for part in node.parts)
    return not evaluate(node.part, truth)


def all_of(parts: list[Node]) -> Node:
    """The conjunction, without a level of its own where none is needed."""
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def any_of(parts: list[Node]) -> Node:
    """The disjunction, likewise."""
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def conditions(node: Node) -> list[Condition]:
    """Every condition of a tree, in order."""
    if isinstance(node, Condition):
        return [node]
    if isinstance(node, Not):
        return conditions(node.part)
    return [condition for part in node.parts for condition in conditions(part)]


def describe(node: Node) -> str:
    """The tree for people: ``lang eq "en" and not (a gt 1 or b exists)``."""
    if isinstance(node, Condition):
        return node.words
    if isinstance(node, Not):
        return f"not {_inner(node.part)}"
    if not node.parts:
        return "always" if isinstance(node, And) else "never"
    word = " and " if isinstance(node, And) else " or "
    return word.join(_inner(part) for part in node.parts)


def _inner(node: Node) -> str:
    text = describe(node)
    return f"({text})" if isinstance(node, And | Or) and len(node.parts) > 1 else text
