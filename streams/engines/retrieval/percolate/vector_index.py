"""Thresholded cosine searches of many alerts: float32 matrix products nominate, the float64 cosine of each
nominated pair decides (``cosine.py``).

A product is taken and compared with the thresholds in tiles that stay in the processor's cache, so that a
search costs little more than the product. One thread at a time.
"""

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streams.engines.retrieval.percolate.plan import Search
from streams.engines.retrieval.vectors.cosine import ROUNDING, cosines, fast_unit_rows, margin, unit_rows
from streams.engines.retrieval.vectors.feature_batch import Block

_ROWS: Final = 512
_QUERIES: Final = 512
"""A tile is 1 MB of products."""
_PAIRS: Final = 32
"""Pairs decided at a time, 100 kB of each side: larger ones cost four times as much in fresh pages."""

Nomination: TypeAlias = tuple[int, int, float]
"""A document's index, an alert's number, and the exact cosine of the search that nominated it."""


class VectorIndex:
    """Finds, for a batch, the alerts whose bound a document's cosine reaches once it is rounded."""

    def __init__(self) -> None:
        self._matrices: dict[tuple[str, int], _Matrix] = {}

    def add(self, search: Search, bound: float, plan: int) -> None:
        """Let a search nominate an alert when its cosine, rounded, may be ``bound`` or more."""
        key = (search.feature_uri, search.query.size)
        if key not in self._matrices:
            self._matrices[key] = _Matrix(search.query.size)
        self._matrices[key].add(search.query, bound, plan)

    def remove(self, search: Search, bound: float, plan: int) -> None:
        """Undo one :meth:`add`."""
        key = (search.feature_uri, search.query.size)
        self._matrices[key].remove(search.query, bound, plan)
        if not self._matrices[key].row_of:
            del self._matrices[key]

    @property
    def features(self) -> list[str]:
        """The feature URIs searched."""
        return list(dict.fromkeys(uri for uri, _ in self._matrices))

    def search(self, uri: str, batch: Mapping[int, Block]) -> list[Nomination]:
        """Nominations over one feature of a batch, none missing; whoever judges them rounds the cosine. An alert
        that asks twice may be nominated twice."""
        found: list[Nomination] = []
        for size, block in batch.items():
            matrix = self._matrices.get((uri, size))
            if matrix is not None and len(block.documents):
                matrix.search(block, found)
        return found


class _Matrix:
    """Queries of one feature and one number of dimensions; equal queries are one row. Rows of removed queries
    are used again."""

    def __init__(self, dimensions: int) -> None:
        self._margin = margin(dimensions)
        self.row_of: dict[bytes, int] = {}
        self._queries: list[NDArray[np.float64]] = []
        self._plans: list[list[tuple[float, int]]] = []
        """Per row the bound and number of each alert."""
        self._free: list[int] = []
        self._fast = np.zeros((16, dimensions), dtype=np.float32)
        """A row per query, and room for more."""
        self._bounds = np.full(16, np.inf, dtype=np.float32)
        """Per row the lowest bound of any alert, less what float32 may be off."""
        self._products = np.empty((0, 0), dtype=np.float32)
        self._reached = np.empty((0, 0), dtype=np.bool_)

    def add(self, query: NDArray[np.float64], bound: float, plan: int) -> None:
        row = self.row_of.get(query.tobytes())
        if row is None:
            row = self.row_of[query.tobytes()] = self._new_row(query)
        self._plans[row].append((bound, plan))
        self._set_bound(row)

    def remove(self, query: NDArray[np.float64], bound: float, plan: int) -> None:
        row = self.row_of[query.tobytes()]
        self._plans[row].remove((bound, plan))
        if not self._plans[row]:
            del self.row_of[query.tobytes()]
            self._free.append(row)
        self._set_bound(row)

    def _new_row(self, query: NDArray[np.float64]) -> int:
        if self._free:
            row = self._free.pop()
            self._queries[row] = query
        else:
            row = len(self._queries)
            self._queries.append(query)
            self._plans.append([])
            if row == len(self._bounds):
                self._fast = np.concatenate([self._fast, np.zeros_like(self._fast)])
                self._bounds = np.concatenate([self._bounds, np.full(row, np.inf, dtype=np.float32)])
        self._fast[row] = query
        return row

    def _set_bound(self, row: int) -> None:
        lowest = min((bound for bound, _ in self._plans[row]), default=np.inf) - self._margin
        self._bounds[row] = np.nextafter(np.float32(lowest), np.float32(-np.inf))

    def search(self, block: Block, found: list[Nomination]) -> None:
        for start in range(0, len(block.vectors), _ROWS):
            fast = fast_unit_rows(block.vectors[start : start + _ROWS])
            pairs = list(self._candidates(fast))
            if pairs:
                rows = np.concatenate([tile_rows for tile_rows, _ in pairs])
                queries = np.concatenate([tile_queries for _, tile_queries in pairs])
                self._decide(block, rows + start, queries, found)

    def _candidates(self, fast: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Rows and queries whose product comes near a bound."""
        count, rows = len(self._queries), len(fast)
        width = min(count, _QUERIES)
        if self._products.shape != (rows, width):
            # Kept from search to search: fresh pages cost more than the comparison.
            self._products = np.empty((rows, width), dtype=np.float32)
            self._reached = np.empty((rows, width), dtype=np.bool_)
        for start in range(0, count, _QUERIES):
            queries = self._fast[start : min(start + _QUERIES, count)]
            products, reached = self._products, self._reached
            if len(queries) < width:
                products = np.empty((rows, len(queries)), dtype=np.float32)
                reached = np.empty((rows, len(queries)), dtype=np.bool_)
            np.matmul(fast, queries.T, out=products)
            np.greater_equal(products, self._bounds[start : start + len(queries)], out=reached)
            cells = np.flatnonzero(reached)
            if len(cells):
                at, query = np.divmod(cells, len(queries))
                yield at, query + start

    def _decide(
        self, block: Block, rows: NDArray[np.intp], queries: NDArray[np.intp], found: list[Nomination]
    ) -> None:
        """Exact cosines of candidates against the bounds of their alerts."""
        documents = block.documents[rows].tolist()
        numbers = queries.tolist()
        plans, held = self._plans, self._queries
        for start in range(0, len(numbers), _PAIRS):
            stop = start + _PAIRS
            some = numbers[start:stop]
            left = unit_rows(block.vectors[rows[start:stop]])
            right = np.concatenate([held[number] for number in some]).reshape(left.shape)
            exact = cosines(left, right).tolist()
            for document, number, cosine in zip(documents[start:stop], some, exact, strict=True):
                for bound, plan in plans[number]:
                    if cosine + ROUNDING >= bound:
                        found.append((document, plan, cosine))
