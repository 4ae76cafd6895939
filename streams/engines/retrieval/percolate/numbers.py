"""The requirements under one key of an index: nearly always a single one, kept without a list around it."""

from typing import TypeAlias

Numbers: TypeAlias = int | tuple[int, ...]


def joined(numbers: Numbers | None, more: Numbers) -> Numbers:
    """All of them, in order."""
    if numbers is None:
        return more
    left = (numbers,) if isinstance(numbers, int) else numbers
    return (*left, more) if isinstance(more, int) else (*left, *more)


def append(numbers: Numbers, found: list[int]) -> None:
    """Append them to what has been found."""
    if isinstance(numbers, int):
        found.append(numbers)
    else:
        found += numbers
