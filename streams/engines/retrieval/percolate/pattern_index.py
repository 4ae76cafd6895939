"""Regular expressions: tried only on texts that hold a part without which they cannot match."""

import re
from dataclasses import dataclass
from typing import Final

from streams.engines.retrieval.filters.nodes import Condition
from streams.engines.retrieval.percolate.substring_index import SubstringIndex

_SHORTEST: Final = 3
_REPETITION: Final = re.compile(r"\{(\d+)(?:,\d*)?\}", re.ASCII)
_CLASS: Final = re.compile(r"\[\^?\]?(\\.|\[:\^?\w+:\]|[^\]\\])*\]", re.DOTALL)
_POSITIONS: Final = "bBAz"
_SIMPLE_ESCAPES: Final = "dDsSwWafnrtv" + _POSITIONS


class PatternIndex:
    """Patterns → the requirements that hold for a string in which they are found."""

    __slots__ = ("_anywhere", "_conditions", "_parts")

    def __init__(self) -> None:
        self._conditions: list[tuple[Condition, int]] = []
        self._parts = SubstringIndex()
        self._anywhere: list[tuple[int, int]] = []
        """The least length of text, and the place, of those without such a part."""

    def add(self, condition: Condition, number: int) -> None:
        """Let the requirement ``number`` hold for strings in which the condition's pattern is found."""
        assert isinstance(condition.operand, str)
        needs = [needed(alternative) for alternative in alternatives(condition.operand)]
        if all(len(need.part) >= _SHORTEST for need in needs):
            for need in needs:
                self._parts.add(need.part.casefold(), len(self._conditions))
        else:
            self._anywhere.append((min(need.length for need in needs), len(self._conditions)))
        self._conditions.append((condition, number))

    def find(self, text: str, found: list[int]) -> None:
        """Append the requirements that hold for a text."""
        length = len(text)
        possible = [at for shortest, at in self._anywhere if shortest <= length]
        # Characters that RE2 takes for the same in different case are the same when folded.
        self._parts.find(text.casefold(), possible)
        for at in set(possible):
            condition, number = self._conditions[at]
            if condition.test([text]):
                found.append(number)


@dataclass(frozen=True, slots=True)
class Needed:
    """What a text must have for a pattern to match in it."""

    part: str
    """A run of characters, up to case; ``""`` where none is known."""
    length: int
    """A number of characters."""


_NOTHING: Final = Needed("", 0)


def alternatives(pattern: str) -> list[str]:
    """An RE2 pattern taken apart at its outermost ``|``."""
    found = [""]
    at = 0
    while at < len(pattern):
        width = _width(pattern, at)
        if not width:
            return [pattern]
        if pattern[at] == "|":
            found.append("")
        else:
            found[-1] += pattern[at : at + width]
        at += width
    return found


def needed(pattern: str) -> Needed:
    """The longest run of characters and the number of them that every match of an RE2 pattern holds, as far as
    they are found easily: only what stands outside of groups, classes and alternatives is looked at."""
    runs = [""]
    length = last = 0
    at = 0
    while at < len(pattern):
        char, width = pattern[at], _width(pattern, at)
        literal = ""
        if not width or char == "|":
            return _NOTHING
        if char in "*?{":
            # What stands before may be missing, or come several times.
            runs[-1] = runs[-1][:-1]
            repetition = _REPETITION.match(pattern, at)
            length += last * (int(repetition.group(1)) - 1 if repetition else -1)
            last = 0
        elif char in "+^$(":
            last = 0
        else:
            position = char == "\\" and pattern[at + 1] in _POSITIONS
            last = 0 if position else 1
            length += last
            if char == "\\":
                literal = "" if pattern[at + 1].isalnum() else pattern[at + 1]
            elif char not in "[.":
                literal = char
        if literal:
            runs[-1] += literal
        else:
            runs.append("")
        at += width
    return Needed(max(runs, key=len), length)


def _width(pattern: str, at: int) -> int:
    """The length of the item that begins at ``at``; 0 where that is hard to say."""
    char = pattern[at]
    if char == "\\":
        escaped = pattern[at + 1 : at + 2]
        return 2 if escaped and (not escaped.isalnum() or escaped in _SIMPLE_ESCAPES) else 0
    if char == "[":
        found = _CLASS.match(pattern, at)
        return len(found.group()) if found else 0
    if char == "(":
        return _group_length(pattern, at)
    repetition = _REPETITION.match(pattern, at)
    return len(repetition.group()) if repetition else 1


def _group_length(pattern: str, start: int) -> int:
    """The length of the group that begins at ``start``; 0 when it does not end."""
    depth, at = 0, start
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 2
            continue
        if char == "[":
            found = _CLASS.match(pattern, at)
            if found is None:
                return 0
            at += len(found.group())
            continue
        depth += (char == "(") - (char == ")")
        at += 1
        if depth == 0:
            return at - start
    return 0
