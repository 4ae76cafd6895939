"""What SQL can say of a filter: a condition that is sure and one that is possible. Pure.

Every condition is true or false, never null, so that its negation is the other one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

TRUE: Final = "TRUE"
FALSE: Final = "FALSE"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Two conditions between which a filter lies: what is ``sure`` fits, and what fits is ``possible``."""

    sure: str
    possible: str

    @property
    def exact(self) -> bool:
        """Whether nothing is left to be decided elsewhere."""
        return self.sure == self.possible


def exactly(condition: str) -> Bounds:
    """Bounds that leave nothing open."""
    return Bounds(condition, condition)


ALWAYS: Final = exactly(TRUE)
NEVER: Final = exactly(FALSE)
UNKNOWN: Final = Bounds(FALSE, TRUE)
"""Nothing is known."""


def negated(bounds: Bounds) -> Bounds:
    """What does not fit: the two change places."""
    return Bounds(_not(bounds.possible), _not(bounds.sure))


def every(parts: Sequence[Bounds]) -> Bounds:
    """All of them; of nothing, always."""
    return _joined(parts, " AND ", TRUE, FALSE)


def some(parts: Sequence[Bounds]) -> Bounds:
    """Any of them; of nothing, never."""
    return _joined(parts, " OR ", FALSE, TRUE)


def both(bounds: Bounds, make: Callable[[str], str]) -> Bounds:
    """Conditions that are made of both in the same way."""
    return Bounds(make(bounds.sure), make(bounds.possible))


def _not(condition: str) -> str:
    return {TRUE: FALSE, FALSE: TRUE}.get(condition) or f"NOT ({condition})"


def _joined(parts: Sequence[Bounds], word: str, neutral: str, deciding: str) -> Bounds:
    return Bounds(
        _chain([part.sure for part in parts], word, neutral, deciding),
        _chain([part.possible for part in parts], word, neutral, deciding),
    )


def _chain(conditions: Sequence[str], word: str, neutral: str, deciding: str) -> str:
    if deciding in conditions:
        return deciding
    rest = list(dict.fromkeys(condition for condition in conditions if condition != neutral))
    if not rest:
        return neutral
    return rest[0] if len(rest) == 1 else word.join(f"({condition})" for condition in rest)
