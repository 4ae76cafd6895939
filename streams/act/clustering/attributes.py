"""Clusters by what documents say of themselves: one per combination of attribute values (contract 4.10)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from streams.act.failures import ActionError

MOST_GROUPS = 10_000
"""Combinations of values at most: more are no groups but an identifier."""

Values = tuple[str, ...]
"""The JSON of each attribute's value, ``null`` where a document has none."""


class Group(NamedTuple):
    """One group of documents."""

    id: str
    parent: str | None
    level: int
    label: str
    values: Mapping[str, Any]


def values_of(document: Mapping[str, Any], attributes: Sequence[str]) -> Values | None:
    """The values of a document by attribute, each a dot path from its root; ``None`` when it has none of them."""
    found = [_look_up(document, attribute) for attribute in attributes]
    if all(value is None for value in found):
        return None
    return tuple(orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() for value in found)


def _look_up(document: Mapping[str, Any], path: str) -> Any:
    if path in document:
        return document[path]
    value: Any = document
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


class Grouping:
    """Groups under way: numbers of the combinations met so far, in the order of meeting them."""

    def __init__(self, attributes: Sequence[str]) -> None:
        self._attributes = attributes
        self._numbers: dict[Values, int] = {}

    def number(self, values: Values) -> int:
        """The number of a combination. Raises :class:`ActionError` when there are too many."""
        number = self._numbers.setdefault(values, len(self._numbers))
        if number >= MOST_GROUPS:
            raise ActionError(
                f"{', '.join(self._attributes)} have more than {MOST_GROUPS:,} combinations of values;"
                " group by attributes that take fewer"
            )
        return number

    def groups(self, hierarchical: bool) -> tuple[list[Group], list[int]]:
        """The groups ordered by their values, and for each number met its group's index.

        With ``hierarchical`` there is one group per value of the first attribute, in it one per value of the
        second, and so on, outer ones first; documents belong to the innermost. Else one per combination.
        """
        depths = range(1, len(self._attributes) + 1) if hierarchical else [len(self._attributes)]
        prefixes = sorted({values[:depth] for values in self._numbers for depth in depths}, key=_order)
        index = {prefix: number for number, prefix in enumerate(prefixes)}
        made: list[Group] = []
        ids: dict[Values, str] = {}
        inside: dict[Values, int] = {}
        for prefix in prefixes:
            outer = prefix[:-1] if hierarchical else ()
            number = inside[outer] = inside.get(outer, -1) + 1
            parent = ids.get(outer)
            ids[prefix] = str(number) if parent is None else f"{parent}_sub_{number}"
            said = {name: orjson.loads(value) for name, value in zip(self._attributes, prefix, strict=False)}
            shown = [prefix[-1]] if hierarchical else list(prefix)
            label = ", ".join(_worded(value) for value in shown)
            made.append(Group(ids[prefix], parent, len(prefix) if hierarchical else 1, label, said))
        return made, [index[values] for values in self._numbers]


def _order(values: Values) -> tuple[tuple[bool, str], ...]:
    # Documents without a value come last.
    return tuple((value == "null", value) for value in values)


def _worded(value: str) -> str:
    parsed = orjson.loads(value)
    return parsed if isinstance(parsed, str) else "(none)" if parsed is None else value
