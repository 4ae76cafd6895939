"""One field of the documents: which requirements its values meet, found by index and remembered by value."""

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from streams.engines.retrieval.filters.nodes import Condition
from streams.engines.retrieval.filters.paths import Path
from streams.engines.retrieval.filters.values import OrderKind, lower, scalars
from streams.engines.retrieval.percolate.affix_index import AffixIndex
from streams.engines.retrieval.percolate.composite_index import CompositeIndex
from streams.engines.retrieval.percolate.equality_index import EqualityIndex
from streams.engines.retrieval.percolate.interval_index import IntervalIndex
from streams.engines.retrieval.percolate.met import Met
from streams.engines.retrieval.percolate.normal import Interval, Present, Requirement, Stem
from streams.engines.retrieval.percolate.pattern_index import PatternIndex
from streams.engines.retrieval.percolate.range_index import RangeIndex
from streams.engines.retrieval.percolate.substring_index import SubstringIndex
from streams.engines.retrieval.percolate.text_index import TextIndex

APART: Final = 0
"""The number that is met when stems of several strings were found together."""

_REMEMBERED: Final = 32_768
_LONGEST: Final = 512
_SHORT: Final = 8
_STRING: Final = {str}
_SCALARS: Final = {int, float, type(None)}


class FieldIndex:
    """The requirements on one field, by number. What values meet is told as a code of ``met``."""

    def __init__(self, path: Path, number_of: Callable[[Requirement], int], met: Met) -> None:
        self.path = path
        self._met = met
        self.uses = 0
        """How often conjunctions ask for a requirement."""
        self._strings = _Remembered(self._of_string)
        """What was found for strings lately."""
        self._scalars = _Remembered(self._of_scalar)
        self._lists: dict[tuple[str, ...], int] = {}
        self._several: dict[tuple[str, ...], int] = {}
        self._alike: dict[tuple[int, ...], int] = {}
        """By what is met: values that meet the same share a code."""
        self._existing: list[int] = []
        self._present: list[int] = []
        self._finders: list[Callable[[str, list[int]], None]] = []
        """What has to be asked about a string."""
        self._folded_finders: list[Callable[[str, list[int]], None]] = []
        """Among it what has to be asked about its lower case."""
        self._equality = EqualityIndex()
        self._members = EqualityIndex()
        self._exact_affixes = (AffixIndex(False), AffixIndex(True))
        self._folded_affixes = (AffixIndex(False), AffixIndex(True))
        """Beginnings and ends."""
        self._exact_parts = SubstringIndex()
        self._folded_parts = SubstringIndex()
        self._contained: set[int] = set()
        """The requirements on parts of strings that ask something else of arrays."""
        self._patterns = PatternIndex()
        self._texts = TextIndex()
        self._ranges = RangeIndex()
        self._intervals: dict[str, IntervalIndex] = {}
        self._others: list[tuple[Condition, int]] = []
        self._composites = CompositeIndex(number_of)
        self._by_string_alone = True
        """Whether what a string meets is known from the finders."""

    def add(self, requirement: Requirement, number: int) -> None:
        """Let the values that meet a requirement be found under its number."""
        self.forget()
        if isinstance(requirement, Condition):
            self._add_condition(requirement, number)
        elif isinstance(requirement, Present):
            self._present.append(number)
        elif isinstance(requirement, Stem):
            self._texts.add_stem(requirement.stem, number)
            self._find_by(self._texts.find)
        else:
            self._by_string_alone = False
            if isinstance(requirement, Interval):
                kind = cast(OrderKind, requirement.kind)
                self._intervals.setdefault(kind, IntervalIndex(kind)).add(requirement, number)
            else:
                self._composites.add(requirement.node, number)

    def forget(self) -> None:
        """Find out anew what values meet."""
        for remembered in (self._strings, self._scalars, self._lists, self._several, self._alike):
            remembered.clear()

    def _find_by(self, finder: Callable[[str, list[int]], None], folded: bool = False) -> None:
        if folded:
            if finder not in self._folded_finders:
                self._folded_finders.append(finder)
            finder = self._find_folded
        if finder not in self._finders:
            self._finders.append(finder)

    def _add_condition(self, condition: Condition, number: int) -> None:
        operand: Any = condition.operand
        sensitive = condition.case_sensitive
        match condition.operator:
            case "eq" | "in":
                for key in operand if condition.operator == "in" else (operand,):
                    self._equality.add(key, sensitive, number)
                self._find_by(
                    self._equality.find_exact if sensitive else self._equality.find_folded, not sensitive
                )
            case "contains":
                # Within an array it asks for an element, within a string for a part of it.
                self._members.add(operand, sensitive, number)
                if isinstance(operand, str):
                    self._contained.add(number)
                    self._add_part(operand, sensitive, number)
            case "text":
                self._add_part(operand, False, number)
            case "starts_with" | "ends_with":
                ends = condition.operator == "ends_with"
                affixes = (self._exact_affixes if sensitive else self._folded_affixes)[ends]
                affixes.add(operand, number)
                self._find_by(affixes.find, not sensitive)
            case "regex":
                self._patterns.add(condition, number)
                self._find_by(self._patterns.find)
            case "phrase":
                self._texts.add_phrase(operand, number)
                self._find_by(self._texts.find)
            case "exists":
                self._existing.append(number)
            case "gt" | "gte" | "lt" | "lte":
                self._by_string_alone = False
                self._ranges.add(condition.operator, operand, sensitive, number)
            case _:
                self._by_string_alone = False
                self._others.append((condition, number))

    def _add_part(self, part: str, case_sensitive: bool, number: int) -> None:
        parts = self._exact_parts if case_sensitive else self._folded_parts
        parts.add(part, number)
        self._find_by(parts.find, not case_sensitive)

    def _find_folded(self, text: str, found: list[int]) -> None:
        folded = lower(text)
        for finder in self._folded_finders:
            finder(folded, found)

    def codes(self, values: Sequence[Any]) -> list[int]:
        """What the field meets with each of these, where it has one value."""
        kinds = set(map(type, values))
        if kinds == _STRING:
            if not self._finders and self._by_string_alone:
                return [self._of_string("")] * len(values)  # all strings are alike
            return list(map(self._strings.__getitem__, values))
        if kinds <= _SCALARS:
            return list(map(self._scalars.__getitem__, values))
        return list(map(self.one, values))

    def one(self, value: Any) -> int:
        """What a field with one value meets."""
        kind = type(value)
        if kind is str:
            return self._strings[value]
        if kind in _SCALARS:
            # Of the kinds that equal a number, bool is another.
            return self._scalars[value]
        if kind is list:
            return self._known(self._lists, value, [value])
        return self._find([value])

    def several(self, values: Sequence[Any]) -> int:
        """What a field that leads to several values meets."""
        return self._known(self._several, values, values)

    def _known(self, remembered: dict[tuple[str, ...], int], items: Sequence[Any], values: Sequence[Any]) -> int:
        """``values``, remembered by ``items`` where those are few strings."""
        if len(items) > _SHORT:
            return self._find(values)
        try:
            # Only strings are ever remembered, and nothing else equals a string.
            known = remembered.get(tuple(items))
        except TypeError:
            return self._find(values)
        if known is None:
            known = self._find(values)
            if all(type(item) is str and len(item) <= _LONGEST for item in items):
                _remember(remembered, tuple(items), known)
        return known

    def _of_string(self, value: str) -> int:
        found = [*self._existing, *self._present]
        for finder in self._finders:
            finder(value, found)
        code = self._code(found) if self._by_string_alone else self._completed(found, [value])
        return _remember(self._strings, value, code) if len(value) <= _LONGEST else code

    def _of_scalar(self, value: int | float | None) -> int:
        return _remember(self._scalars, value, self._find([value]))

    def _find(self, values: Sequence[Any]) -> int:
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
                for finder in self._finders:
                    finder(value, found)
            else:
                self._equality.find(value, found)
        if texts > 1 and self._texts.stemmed:
            found.append(APART)
        return self._completed(found, values)

    def _elements(self, items: list[Any], found: list[int]) -> int:
        """What the elements of an array meet; returns how many are strings."""
        texts = 0
        for item in items:
            if type(item) is str:
                texts += 1
                inside: list[int] = []
                for finder in self._finders:
                    finder(item, inside)
                found += [number for number in inside if number not in self._contained]
            else:
                self._equality.find(item, found)
            self._members.find(item, found)
        return texts

    def _completed(self, found: list[int], values: Sequence[Any]) -> int:
        """With what depends on all the values, or on what else is met."""
        self._ranges.find(scalars(values), found)
        for index in self._intervals.values():
            index.find(scalars(values), found)
        for condition, number in self._others:
            if condition.test(values):
                found.append(number)
        self._composites.find(found)
        return self._code(found)

    def _code(self, found: list[int]) -> int:
        if len(found) > _SHORT:
            return self._met.code(found)
        short = tuple(found)
        alike = self._alike.get(short)
        if alike is None:
            alike = _remember(self._alike, short, self._met.code(short))
        return alike


class _Remembered(dict[Any, int]):
    """What was found for values; others are found out."""

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[Any], int]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, value: Any) -> int:
        return self._find(value)


def _remember(remembered: dict[Any, int], key: object, code: int) -> int:
    if len(remembered) >= _REMEMBERED:
        remembered.clear()
    remembered[key] = code
    return code
