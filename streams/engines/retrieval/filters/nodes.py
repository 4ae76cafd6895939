"""The immutable tree a filter is parsed to, and its plain evaluation, the reference for every index."""

import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeAlias

from streams.engines.retrieval.filters.operators import OPERATORS
from streams.engines.retrieval.filters.paths import Path

_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=dict)
_CONDITIONS_KEPT: Final = 16_384
_SHORT: Final = 128
MAX_SHOWN: Final = 80
"""Characters of a value in a description."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one field. Two conditions are equal when they hold for the same documents by the same
    test, however their values were spelled."""

    path: Path
    operator: str
    operand: Hashable
    """What the operator's ``read`` made of the value: canonical, lower-cased unless ``case_sensitive``."""
    case_sensitive: bool
    spelled: Hashable = field(compare=False, repr=False)
    """The value for people: a scalar as it was written, of a list or an object the JSON text (bytes), cut."""

    def test(self, values: Sequence[Any]) -> bool:
        """Whether it holds, given the values its path leads to."""
        return OPERATORS[self.operator].test(values, self.operand, self.case_sensitive)


def condition(path: Path, operator: str, operand: Hashable, case_sensitive: bool, spelled: Hashable) -> Condition:
    """A condition; those with a short value that many filters ask alike are one object."""
    short = type(spelled) is not bytes and (type(spelled) is not str or len(spelled) <= _SHORT)
    return (_kept if short else Condition)(path, operator, operand, case_sensitive, spelled)


# 1 and 1.0 are equal, but read differently.
_kept: Final = lru_cache(_CONDITIONS_KEPT, typed=True)(Condition)


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
        return _describe(node)
    if isinstance(node, Not):
        return f"not {_inner(node.part)}"
    if not node.parts:
        return "always" if isinstance(node, And) else "never"
    word = " and " if isinstance(node, And) else " or "
    return word.join(_inner(part) for part in node.parts)


def _inner(node: Node) -> str:
    text = describe(node)
    return f"({text})" if isinstance(node, (And, Or)) and len(node.parts) > 1 else text


def _describe(asked: Condition) -> str:
    field_, name = asked.path.text, asked.operator
    if name in ("exists", "is_null"):
        return f"{field_} exists" if name == "exists" else f"{field_} is null"
    shown = asked.spelled.decode() if isinstance(asked.spelled, bytes) else to_json(asked.spelled)
    return f"{field_} {name} {shorten(shown)}"


def to_json(value: object) -> str:
    """Compact JSON; integers of any size."""
    return str(value) if type(value) is int else _JSON.encode(value)


def shorten(text: str) -> str:
    """At most ``MAX_SHOWN`` characters."""
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."
