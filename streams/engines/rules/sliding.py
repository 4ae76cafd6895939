"""The combination of what is in a window that slides, in constant time a step (two-stacks algorithm). Pure.

Needs of the combination only that it is associative, so it also works for a least and a greatest, which cannot be
subtracted. Tangwongsan, Hirzel, Schneider: Low-Latency Sliding-Window Aggregation in Worst-Case Constant Time
(DEBS 2017), section 2.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Sliding(Generic[T]):
    """A queue whose items are combined."""

    def __init__(self, combine: Callable[[T, T], T], nothing: T) -> None:
        self._combine = combine
        self._nothing = nothing
        self._front: list[T] = []
        """The oldest last, each combined with all that came after it in here."""
        self._back: list[T] = []
        self._behind = nothing
        """All of the back."""

    def push(self, item: T) -> None:
        """Take the newest in."""
        self._back.append(item)
        self._behind = self._combine(self._behind, item)

    def pop(self) -> None:
        """Let the oldest go. Raises ``IndexError`` when there is none."""
        if not self._front:
            combined = self._nothing
            for item in reversed(self._back):
                combined = self._combine(item, combined)
                self._front.append(combined)
            self._back.clear()
            self._behind = self._nothing
        self._front.pop()

    def total(self) -> T:
        """All of it, oldest first."""
        return self._combine(self._front[-1], self._behind) if self._front else self._behind
