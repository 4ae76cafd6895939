"""How much work one template may do: every loop step, every value it reads whole or builds is counted."""

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

MAX_WORK: Final = 50_000
MAX_TEXT: Final = 1_000_000
"""Characters of one string, at most."""
_BITS: Final = 256
_CHARACTERS_PER_STEP: Final = 64
_SIGNS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


class TooMuchError(ValueError):
    """A template that does more work, or makes something larger, than a template may."""


class Meter:
    """Counts the work of one rendering. Raises :class:`TooMuchError` when it is too much."""

    def __init__(self) -> None:
        self._left = MAX_WORK

    def spend(self, steps: int) -> None:
        """Count steps."""
        self._left -= steps
        if self._left < 0:
            raise TooMuchError(f"it takes more than {MAX_WORK:,} steps")

    def each(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items, each counted."""
        for item in items:
            self.spend(1)
            yield item

    def text(self, length: int) -> None:
        """Count a string about to be made."""
        if length > MAX_TEXT:
            raise TooMuchError(f"it makes a text of more than {MAX_TEXT:,} characters")
        self.spend(1 + length // _CHARACTERS_PER_STEP)

    def read(self, value: Any) -> Any:
        """Count a value that is about to be gone through; gives it back."""
        if isinstance(value, str):
            self.spend(1 + len(value) // _CHARACTERS_PER_STEP)
        elif isinstance(value, list | tuple | dict):
            self.spend(1 + len(value))
        return value

    def built(self, made: Any) -> Any:
        """Count a value as large as it would be written out (its parts may be shared); gives it back."""
        waiting = [made]
        while waiting:
            item = waiting.pop()
            self.read(item)
            if isinstance(item, dict):
                waiting.extend(item.values())
            elif isinstance(item, list | tuple):
                waiting.extend(item)
        return made

    def binary(self, sign: str, left: Any, right: Any) -> Any:
        """``left sign right``: numbers, and for ``+`` two strings or two lists."""
        if sign == "+" and isinstance(left, str) and isinstance(right, str):
            self.text(len(left) + len(right))
        elif sign == "+" and isinstance(left, list) and isinstance(right, list):
            self.spend(len(left) + len(right))
        elif not isinstance(left, int | float) or not isinstance(right, int | float):
            others = ", two strings or two lists; join others with ~" if sign == "+" else ""
            raise TypeError(f"{sign} takes two numbers{others}")
        result = _SIGNS[sign](left, right)
        if isinstance(result, int) and result.bit_length() > _BITS:
            raise TooMuchError("it makes a number too large")
        return result
