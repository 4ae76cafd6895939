"""How many documents have which value of a field (contract section 6, facets). Pure."""

from collections.abc import Hashable, Sequence
from typing import Any, Final

from pydantic import Field

from streams.engines.retrieval.filters.paths import resolve
from streams.engines.retrieval.stages.parameters import FieldPath, StageParameters
from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.stages.values import identity, order, path_of

FAST_LIMIT: Final = 10_000
"""Documents per collection that a facet which need not be exact looks at."""


class Facet(StageParameters):
    """A field whose values are counted."""

    key: FieldPath
    limit: int = Field(default=10, ge=1, le=1_000)
    exact: bool = False
    """Count every document that the filters let through, not only the first 10,000 of a collection."""


def count(facet: Facet, rows: Sequence[Row]) -> dict[str, Any]:
    """``{key, buckets: [{value, count}]}``, the most frequent value first, then the least. A document counts once
    for each of its values; lists count by element, missing and null not at all."""
    path = path_of(facet.key)
    counts: dict[Hashable, list[Any]] = {}
    for row in rows:
        seen: dict[Hashable, Any] = {}
        for value in resolve(row.root(), path):
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, str | int | float | bool):
                    seen.setdefault(identity(item), item)
        for key, item in seen.items():
            counts.setdefault(key, [item, 0])[1] += 1
    ranked = sorted(counts.values(), key=lambda entry: (-entry[1], order(entry[0]) or (9, 0)))
    return {"key": facet.key, "buckets": [{"value": item, "count": many} for item, many in ranked[: facet.limit]]}
