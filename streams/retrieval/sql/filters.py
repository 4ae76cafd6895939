"""A filter as a SQL condition over ``documents``, with the meaning the engine gives it (contract section 5).

How to use it::

    condition = compile_filter(filter_, "d")
    rows = SELECT ..., {condition.sure} AS sure FROM documents d
           WHERE d.namespace_id = %(namespace)s AND d.collection_id = %(collection)s AND {condition.possible}
           -- with the parameters {"namespace": ..., "collection": ..., **condition.parameters}

Where ``condition.exact`` the rows are the documents that fit, and ``count(*)`` counts them. Else a row that is not
``sure`` fits when ``filters.parse.matches`` says so of its ``DocumentEvent.root()``.

The meaning is that of the document as it is read back from the table. Exact are ``eq``, ``ne``, ``in``, ``nin``,
``gt`` to ``lte`` on numbers and strings, ``exists``, ``is_null``, ``contains``, ``starts_with``, ``ends_with`` and
``text``; instants but for rare spellings and the second of the bound, ``phrase`` as its words anywhere; ``regex``,
``words`` and shapes are decided in memory. Nothing a caller wrote is in the SQL: field names and values alike are
parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from streams.engines.retrieval.filters.nodes import And, Condition, Node, Not, conditions
from streams.engines.retrieval.filters.parse import Filter
from streams.retrieval.sql.bounds import (
    FALSE,
    TRUE,
    UNKNOWN,
    Bounds,
    every,
    negated,
    some,
)
from streams.retrieval.sql.operators import compared_column, not_null, test
from streams.retrieval.sql.parameters import Parameters
from streams.retrieval.sql.places import OCCURRED_AT, SOURCE, any_value

MAX_CONDITIONS: Final = 200
"""Conditions beyond which a filter is decided in memory: planning its SQL would take longer than it saves."""


@dataclass(frozen=True, slots=True)
class SqlFilter:
    """A filter between two conditions."""

    sure: str
    """Rows for which it is true fit."""
    possible: str
    """Rows that fit are among those for which it is true."""
    parameters: Mapping[str, Any]
    """What both name."""

    @property
    def exact(self) -> bool:
        """Whether the two are the same."""
        return self.sure == self.possible

    @property
    def helps(self) -> bool:
        """Whether it says anything."""
        return self.possible != TRUE or self.sure != FALSE


def compile_filter(where: Filter, table: str = "documents", prefix: str = "f") -> SqlFilter:
    """The condition for a filter. ``table`` is the table's name or alias in the statement, ``prefix`` begins the
    names of the parameters."""
    parameters = Parameters(prefix)
    many = len(conditions(where.root)) > MAX_CONDITIONS
    bounds = UNKNOWN if many else _bounds(where.root, table, parameters)
    return SqlFilter(_whole(bounds.sure, table), _whole(bounds.possible, table), parameters.values)


def _whole(condition: str, table: str) -> str:
    if condition in (TRUE, FALSE):
        return condition
    return f"(SELECT {condition} FROM {SOURCE.format(table=table)})"


def _bounds(node: Node, table: str, parameters: Parameters) -> Bounds:
    if isinstance(node, Condition):
        if node.operator == "is_null":
            return negated(any_value(node.path, not_null, table, parameters))
        column = None
        if node.path.text == OCCURRED_AT:
            column = compared_column(node, f"{table}.{OCCURRED_AT}", parameters)
        return any_value(node.path, test(node, parameters), table, parameters, column)
    if isinstance(node, Not):
        return negated(_bounds(node.part, table, parameters))
    parts = [_bounds(part, table, parameters) for part in node.parts]
    return every(parts) if isinstance(node, And) else some(parts)
