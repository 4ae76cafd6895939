"""What every rule answers: whether to fire, why in words, and the state to keep."""

from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Decision(Generic[S]):
    """The answer of a pure rule. Deciding again from the same arguments gives the same answer."""

    fire: bool
    reason: str
    """For people; it travels into the result a user reads."""
    new_state: S
    """What the caller stores in place of the state it passed in."""
