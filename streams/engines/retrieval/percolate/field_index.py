"""One field of the documents: which requirements its values meet, found by index and remembered by value."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, cast

import numpy as np

from streams.engines.retrieval.filters.nodes import And, Condition, Node, Not, conditions
from streams.engines.retrieval.filters.paths import Path
from streams.engines.retrieval.filters.values import OrderKind, fold, scalars
from streams.engines.retrieval.percolate.affix_index import AffixIndex
from streams.engines.retrieval.percolate.equality_index import EqualityIndex
from streams.engines.retrieval.percolate.growing import Integers
from streams.engines.retrieval.percolate.interval_index import IntervalIndex
from streams.engines.retrieval.percolate.normal import Interval, Present, Requirement, Stem
from streams.engines.retrieval.percolate.pattern_index import PatternIndex
from streams.engines.retrieval.percolate.range_index import RangeIndex
from streams.engines.retrieval.percolate.substring_index import SubstringIndex
from streams.engines.retrieval.percolate.text_index import TextIndex

NOTHING: Final[Integers] = np.zeros(0, dtype=np.int64)
APART: Final = 0
"""The number that is met when stems of several strings were found together."""

_REMEMBERED: Final = 16_384
_LONGEST: Final = 512
_SHORT: Final = 8

Check: TypeAlias = Callable[[set[int]], bool]
"""Whether a tree of conditions holds, given the numbers of those that do."""


class FieldIndex:
    """The requirements on one field, by number."""

    def __init__(self, path: Path, number_of: Callable[[Requirement], int]) -> None:
        self.path = path
        self.strings: dict[str, Integers] = {}
        """What :meth:`one` found for strings lately."""
        self._number_of = number_of
        self._lists: dict[tuple[object, ...], Integers] = {}
        self._alike: dict[tuple[int, ...], Integers] = {}
        self._existing: list[int] = []
        self._present: list[int] = []
        self._equality = EqualityIndex()
        self._members = EqualityIndex()
        self._affixes = AffixIndex()
        self._exact_parts = SubstringIndex()
        self._folded_parts = SubstringIndex()
        self._contained: set[int] = set()
        """The requirements on parts of strings that ask something else of arrays."""
        self._patterns = PatternIndex()
        self._texts = TextIndex()
        self._ranges = RangeIndex()
        self._intervals: dict[str, IntervalIndex] = {}
        self._others: list[tuple[Condition, int]] = []
        self._composites: dict[int, list[tuple[int, Check]]] = {}
        """By a requirement in it, trees over the field."""

    def add(self, requirement: Requirement, number: int) -> None:
        """Let the values that meet a requirement be found under its number."""
        self.strings, self._lists = {}, {}
        if isinstance(requirement, Condition):
            self._add_condition(requirement, number)
        elif isinstance(requirement, Present):
            self._present.append(number)
        elif isinstance(requirement, Stem):
            self._texts.add_stem(requirement.stem, requirement.case_sensitive, number)
        elif isinstance(requirement, Interval):
            kind = cast(OrderKind, requirement.kind)
            self._intervals.setdefault(kind, IntervalIndex(kind)).add(requirement, number)
        else:
            check = self._compile(requirement.node)
            for part in {self._number(condition) for condition in conditions(requirement.node)}:
                self._composites.setdefault(part, []).append((number, check))

    def _add_condition(self, condition: Condition, number: int) -> None:
        operand: Any = condition.operand
        sensitive = condition.case_sensitive
        match condition.operator:
            case "eq":
                self._equality.add(operand, sensitive, number)
            case "in":
                for key in operand:
                    self._equality.add(key, sensitive, number)
            case "contains":
                # Within an array it asks for an element, within a string for a part of it.
                self._members.add(operand, sensitive, number)
                if isinstance(operand, str):
                    self._contained.add(number)
                    self._add_part(operand, sensitive, number)
            case "text":
                self._add_part(operand, False, number)
            case "starts_with" | "ends_with":
                self._affixes.add(operand, condition.operator == "ends_with", sensitive, number)
            case "regex":
                self._patterns.add(condition, number)
            case "phrase":
                self._texts.add_phrase(operand, sensitive, number)
            case "gt" | "gte" | "lt" | "lte":
                self._ranges.add(condition.operator, operand, sensitive, number)
            case "exists":
                self._existing.append(number)
            case _:
                self._others.append((condition, number))

    def _add_part(self, part: str, case_sensitive: bool, number: int) -> None:
        (self._exact_parts if case_sensitive else self._folded_parts).add(part, number)

    def one(self, value: Any) -> Integers:
        """The requirements met by a field with one value."""
        if type(value) is not str:
            return self.several([value])
        known = self.strings.get(value)
        if known is not None:
            return known
        found = [*self._existing, *self._present]
        self._string(value, found)
        met = self._completed(found, [value])
        if len(value) <= _LONGEST:
            if len(self.strings) >= _REMEMBERED:
                self.strings.clear()
            self.strings[value] = met
        return met

    def several(self, values: Sequence[Any]) -> Integers:
        """The requirements met by a field that leads to several values, or to one that is no string."""
        key = _key(values)
        known = self._lists.get(key) if key is not None else None
        if known is not None:
            return known
        found = list(self._existing)
        if any(value is not None for value in values):
            found += self._present
        texts = 0
        for value in values:
            if type(value) is list:
                self._equality.find(value, found)
                texts += self._elements(value, found)
            elif type(value) is str:
                texts += 1
                self._string(value, found)
            else:
                self._equality.find(value, found)
        if texts > 1 and self._texts.stemmed:
            found.append(APART)
        met = self._completed(found, values)
        if key is not None:
            if len(self._lists) >= _REMEMBERED:
                self._lists.clear()
            self._lists[key] = met
        return met

    def _elements(self, items: list[Any], found: list[int]) -> int:
        """What the elements of an array meet; returns how many are strings."""
        texts = 0
        for item in items:
            if type(item) is str:
                texts += 1
                inside: list[int] = []
                self._string(item, inside)
                found += [number for number in inside if number not in self._contained]
            else:
                self._equality.find(item, found)
            self._members.find(item, found)
        return texts

    def _string(self, text: str, found: list[int]) -> None:
        self._equality.find(text, found)
        self._affixes.find(text, found)
        if self._exact_parts:
            self._exact_parts.find(text, found)
        if self._folded_parts:
            self._folded_parts.find(str(fold(text)), found)
        if self._patterns:
            self._patterns.find(text, found)
        if self._texts:
            self._texts.find(text, found)

    def _completed(self, found: list[int], values: Sequence[Any]) -> Integers:
        """With what depends on all the values, or on what else is met."""
        if self._ranges:
            self._ranges.find(scalars(values), found)
        for index in self._intervals.values():
            index.find(scalars(values), found)
        for condition, number in self._others:
            if condition.test(values):
                found.append(number)
        if self._composites:
            met = set(found)
            asked = {entry for number in met for entry in self._composites.get(number, ())}
            found += [number for number, check in asked if check(met)]
        if len(found) > _SHORT:
            return np.array(found, dtype=np.int64)
        short = tuple(found)
        alike = self._alike.get(short)
        if alike is None:
            if len(self._alike) >= _REMEMBERED:
                self._alike.clear()
            alike = self._alike[short] = np.array(short, dtype=np.int64) if short else NOTHING
        return alike

    def _number(self, condition: Condition) -> int:
        if condition.operator == "is_null":
            return self._number_of(Present(condition.path))
        return self._number_of(condition)

    def _compile(self, node: Node) -> Check:
        if isinstance(node, Condition):
            number, null = self._number(node), node.operator == "is_null"
            return lambda met: (number in met) is not null
        if isinstance(node, Not):
            part = self._compile(node.part)
            return lambda met: not part(met)
        parts = [self._compile(child) for child in node.parts]
        if isinstance(node, And):
            return lambda met: all(part(met) for part in parts)
        return lambda met: any(part(met) for part in parts)


def _key(values: Sequence[Any]) -> tuple[object, ...] | None:
    """What tells apart values that meet different requirements; ``None`` for values not worth remembering."""
    if len(values) == 1:
        value = values[0]
        kind = type(value)
        if kind is list:
            return ("list", *value) if len(value) <= _SHORT and _all_short_strings(value) else None
        return None if kind is dict or kind is str else (kind, value)
    return tuple(values) if len(values) <= _SHORT and _all_short_strings(values) else None


def _all_short_strings(values: Sequence[Any]) -> bool:
    return all(type(value) is str and len(value) <= _LONGEST for value in values)
