"""Regular expressions: tried only on texts that hold a part without which they cannot match."""

import re
from typing import Final

from streams.engines.retrieval.filters.nodes import Condition
from streams.engines.retrieval.percolate.substring_index import SubstringIndex

_SHORTEST: Final = 3
_REPETITION: Final = re.compile(r"\{\d+(,\d*)?\}", re.ASCII)
_CLASS: Final = re.compile(r"\[\^?\]?(\\.|\[:\^?\w+:\]|[^\]\\])*\]", re.DOTALL)
_SIMPLE_ESCAPES: Final = "dDsSwWbBAzafnrtv"


class PatternIndex:
    """Patterns → the requirements that hold for a string in which they are found."""

    __slots__ = ("_anywhere", "_conditions", "_parts")

    def __init__(self) -> None:
        self._conditions: list[tuple[Condition, int]] = []
        self._parts = SubstringIndex()
        self._anywhere: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._conditions)

    def add(self, condition: Condition, number: int) -> None:
        """Let the requirement ``number`` hold for strings in which the condition's pattern is found."""
        assert isinstance(condition.operand, str)
        part = required_part(condition.operand).casefold()
        if len(part) < _SHORTEST:
            self._anywhere.append(len(self._conditions))
        else:
            self._parts.add(part, len(self._conditions))
        self._conditions.append((condition, number))

    def find(self, text: str, found: list[int]) -> None:
        """Append the requirements that hold for a text."""
        possible = list(self._anywhere)
        # Characters that RE2 takes for the same in different case are the same when folded.
        self._parts.find(text.casefold(), possible)
        for at in set(possible):
            condition, number = self._conditions[at]
            if condition.test([text]):
                found.append(number)


def required_part(pattern: str) -> str:
    """The longest run of characters that every match of an RE2 pattern holds, up to case; ``""`` where none is
    found easily: only what stands outside of groups, classes and alternatives is looked at."""
    runs = [""]
    at = 0
    while at < len(pattern):
        char, width, literal = pattern[at], 1, ""
        if char == "|":
            return ""
        if char == "\\":
            width, escaped = 2, pattern[at + 1 : at + 2]
            if not escaped.isalnum() and escaped:
                literal = escaped
            elif escaped not in tuple(_SIMPLE_ESCAPES):
                return ""
        elif char == "[":
            found = _CLASS.match(pattern, at)
            width = len(found.group()) if found else 0
        elif char == "(":
            width = _group_length(pattern, at)
        elif char in "*?{":
            # What stands before may be missing.
            runs[-1] = runs[-1][:-1]
            repetition = _REPETITION.match(pattern, at)
            width = len(repetition.group()) if repetition else 1
        elif char not in "^$.+":
            literal = char
        if not width:
            return ""
        if literal:
            runs[-1] += literal
        else:
            runs.append("")
        at += width
    return max(runs, key=len)


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
