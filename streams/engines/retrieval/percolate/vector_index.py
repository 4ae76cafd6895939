"""Thresholded cosine searches of many alerts: one float32 matrix product per feature and batch nominates, the
float64 cosine of each nominated pair decides (``cosine.py``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streams.engines.retrieval.percolate.plan import Search
from streams.engines.retrieval.vectors.cosine import DIGITS, margin, pair_cosines
from streams.engines.retrieval.vectors.feature_batch import Block

_ROWS: Final = 512
_CELLS: Final = 4_000_000


@dataclass(slots=True)
class _Group:
    """Queries of one feature and one number of dimensions; equal queries are one row."""

    rows: dict[bytes, int] = field(default_factory=dict)
    queries: list[NDArray[np.float64]] = field(default_factory=list)
    bounds: list[float] = field(default_factory=list)
    """Per row the lowest bound of any alert."""
    plans: list[list[tuple[float, int]]] = field(default_factory=list)
    """Per row the bound and number of each alert."""


@dataclass(frozen=True, slots=True)
class _Matrix:
    exact: NDArray[np.float64]
    fast: NDArray[np.float32]
    """Shape ``(dimensions, queries)``."""
    bounds: NDArray[np.float32]
    """Per query the lowest bound, less what float32 may be off."""
    plans: list[list[tuple[float, int]]]


Nomination: TypeAlias = tuple[int, int, float]
"""A document's index, an alert's number, and the exact cosine of the search that nominated it."""


class VectorIndex:
    """Finds, for a batch, the alerts whose bound a document's vector reaches."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, int], _Group] = {}
        self._matrices: dict[tuple[str, int], _Matrix] = {}

    def add(self, search: Search, bound: float, plan: int) -> None:
        """Let a search nominate an alert when its rounded cosine is at least ``bound``; before :meth:`seal`."""
        group = self._groups.setdefault((search.feature_uri, search.query.size), _Group())
        row = group.rows.setdefault(search.query.tobytes(), len(group.queries))
        if row == len(group.queries):
            group.queries.append(search.query)
            group.bounds.append(bound)
            group.plans.append([])
        group.bounds[row] = min(group.bounds[row], bound)
        group.plans[row].append((bound, plan))

    def seal(self) -> None:
        """Lay the queries out as matrices."""
        for (uri, size), group in self._groups.items():
            exact = np.stack(group.queries)
            lowest = np.array(group.bounds) - margin(size)
            bounds = np.nextafter(lowest.astype(np.float32), np.float32(-np.inf))
            fast = np.ascontiguousarray(exact.T, dtype=np.float32)
            self._matrices[uri, size] = _Matrix(exact, fast, bounds, group.plans)

    @property
    def features(self) -> list[str]:
        """The feature URIs searched."""
        return list(dict.fromkeys(uri for uri, _ in self._matrices))

    def search(self, uri: str, batch: Mapping[int, Block]) -> list[Nomination]:
        """Nominations over one feature of a batch."""
        found: list[Nomination] = []
        for size, block in batch.items():
            matrix = self._matrices.get((uri, size))
            if matrix is not None and len(block.documents):
                _search(matrix, block, found)
        return found


def _search(matrix: _Matrix, block: Block, found: list[Nomination]) -> None:
    count = len(matrix.plans)
    step = max(1, min(_ROWS, _CELLS // count))
    fast = block.unit.astype(np.float32)
    for start in range(0, len(fast), step):
        cells = np.flatnonzero(fast[start : start + step] @ matrix.fast >= matrix.bounds)
        if not len(cells):
            continue
        rows, queries = np.divmod(cells, count)
        rows += start
        cosines = pair_cosines(block.unit, rows, matrix.exact, queries)
        documents = block.documents[rows].tolist()
        for document, query, cosine in zip(documents, queries.tolist(), cosines.tolist(), strict=True):
            rounded = round(cosine, DIGITS)
            for bound, plan in matrix.plans[query]:
                if rounded >= bound:
                    found.append((document, plan, cosine))
