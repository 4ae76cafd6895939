"""Values of rows: read by a path, compared, ordered and written without touching what rows share."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from streams.engines.retrieval.filters.paths import Path, parse_path, resolve
from streams.engines.retrieval.filters.values import instant
from streams.engines.retrieval.stages.stage import Row

MAX_DEPTH: Final = 64
"""Values nested deeper are all the same, so that a hostile document cannot exhaust the stack."""
_MAX_INT: Final = 2**63

path_of = lru_cache(maxsize=4_096)(parse_path)
"""A parsed path. Raises ``ValueError`` when it is empty or too long."""


def values(row: Row, path: str) -> list[Any]:
    """Every value a path leads to: several through a list of objects, none where the row has none."""
    return resolve(row.root(), path_of(path))


def value(row: Row, path: str) -> Any:
    """The first value a path leads to; ``None`` where it is missing."""
    if path == "score" and row.score is not None:
        return row.score
    found = values(row, path)
    return found[0] if found else None


def number(found: Any) -> float | None:
    """A finite number as such; ``None`` for anything else (booleans are not numbers)."""
    if type(found) is not int and type(found) is not float:
        return None
    try:
        wide = float(found)
    except OverflowError:
        return None
    return wide if math.isfinite(wide) else None


def plain(found: float | int | None) -> float | int | None:
    """A result as JSON can hold it: whole numbers up to 64 bits, finite numbers, else ``None``."""
    if found is None or (type(found) is int and -_MAX_INT <= found < _MAX_INT):
        return found
    return number(found)


def identity(found: Any, *, case_sensitive: bool = True, depth: int = MAX_DEPTH) -> Hashable:
    """A key such that two JSON values are the same exactly when their keys are equal: 1 is 1.0, ``true`` is not
    1, objects are compared without the order of their keys."""
    key: Hashable = found
    kind = type(found)
    if kind is str:
        return str(found) if case_sensitive else str(found).casefold()
    if kind is bool:
        return ("bool", found)
    if kind is int or kind is float or found is None:
        return key
    if depth == 0:
        return ("deep",)
    if isinstance(found, Mapping):
        inner = {
            str(name): identity(item, case_sensitive=case_sensitive, depth=depth - 1)
            for name, item in found.items()
        }
        return ("object", frozenset(inner.items()))
    if isinstance(found, list):
        return ("list", *(identity(item, case_sensitive=case_sensitive, depth=depth - 1) for item in found))
    return ("other", str(found))


def order(found: Any) -> tuple[int, Any] | None:
    """A key that orders values of any types: booleans (false first), numbers, ISO dates by instant, other texts
    by code point, then lists and objects, which have no order among themselves. ``None`` for null."""
    kind = type(found)
    if found is None or (kind is float and math.isnan(found)):
        return None
    if kind is bool:
        return (0, found)
    if kind is int or kind is float:
        return (1, found)
    if kind is str:
        moment = instant(found)
        return (3, found) if moment is None else (2, moment)
    return (4, 0)


def put(row: Row, path: str, found: Any) -> Row:
    """A copy of the row with a value at a path; what rows share is copied on the way, never changed.

    It is written where :func:`value` reads: over the value that is there, also under ``payload``, else below
    the root. Whatever stands in the way (a text where an object has to be) gives way. A row keeps its ids.
    """
    if path == "score":
        return replace(row, score=number(found))
    if path in ("document_id", "collection_id"):
        return row
    parsed = path_of(path)
    payload = row.fields.get("payload")
    if type(payload) is dict and not resolve({**row.fields, "payload": None}, parsed) and resolve(payload, parsed):
        return replace(row, fields={**row.fields, "payload": _written(payload, parsed, 0, found)})
    return replace(row, fields=_written(row.fields, parsed, 0, found))


def nest(into: Mapping[str, Any], path: str, found: Any) -> dict[str, Any]:
    """A copy of an object with a value at a path, as :func:`put` writes it."""
    written: dict[str, Any] = _written(into, path_of(path), 0, found)
    return written


def _written(node: Any, path: Path, at: int, found: Any) -> Any:
    if at == len(path.splits):
        return found
    if isinstance(node, list):
        segment, following = path.splits[at][-1]
        if segment.isascii() and segment.isdigit() and int(segment) < len(node):
            index = int(segment)
            return [*node[:index], _written(node[index], path, following, found), *node[index + 1 :]]
        node = {}
    if not isinstance(node, Mapping):
        node = {}
    for key, following in path.splits[at]:
        if key in node and (following == len(path.splits) or isinstance(node[key], (Mapping, list))):
            return {**node, key: _written(node[key], path, following, found)}
    segment, following = path.splits[at][-1]
    return {**node, segment: _written(None, path, following, found)}


def by_score(rows: Sequence[Row], path: str = "score") -> list[Row]:
    """Best score first; rows without one last, equal ones as they were."""
    scores = [number(value(row, path)) for row in rows]
    ranked = sorted(range(len(rows)), key=lambda at: (scores[at] is None, -(scores[at] or 0.0)))
    return [rows[at] for at in ranked]
