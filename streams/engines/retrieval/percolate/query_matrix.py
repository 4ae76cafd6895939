"""The queries of one feature and number of dimensions, searched for those a document's cosine may reach.

Most pairs are far below their bound, and the leading components alone show it: with a and b split into leading
and remaining components, a·b is at most the product of the leading ones plus the product of the lengths of the
rest (Cauchy-Schwarz). As both lengths are one more component of each vector, that bound is itself one product, of
half or three quarters of the dimensions. Where it lets too much through, as low bounds make it, the whole product
is taken. Whatever nominates, the float64 cosine of each nominated pair decides.
"""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streams.engines.retrieval.vectors.cosine import (
    ROUNDING,
    fast_unit_rows,
    margin,
    safe_lengths,
    squared_lengths,
)
from streams.engines.retrieval.vectors.feature_batch import Block

_ROWS: Final = 512
_QUERIES: Final = 512
"""A tile is 1 MB of products, which stays in the processor's cache."""
_SHAPES: Final = 16
_PAIRS: Final = 64
"""Pairs decided at a time, so that their vectors stay in the cache."""
_SHARES: Final = (0.5, 0.75, 1.0)
"""What share of the dimensions leads, tried in this order."""
_FEWEST: Final = 64
"""Dimensions worth splitting."""
_IN_VAIN: Final = 2
"""Pairs a row that may be nominated in vain before more dimensions are taken; deciding them costs as much."""

Nomination: TypeAlias = tuple[int, int, float]
"""A document's index, an alert's number, and the exact cosine of the search that nominated it."""


class QueryMatrix:
    """Unit vectors with the bounds of the alerts that ask for them; equal queries are one row. Rows of removed
    queries are used again."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._margin = margin(dimensions)
        self.row_of: dict[bytes, int] = {}
        """Digest of a query → its row."""
        self._queries = 0
        """How many rows have been used."""
        self._exact = np.zeros((16, dimensions), dtype=np.float64)
        """A row per query, and room for more."""
        self._plans: list[list[tuple[float, int]]] = []
        """Per row the bound and number of each alert."""
        self._free: list[int] = []
        self._bounds = np.full(16, np.inf, dtype=np.float32)
        """Per row the lowest bound of any alert, less what float32 may be off."""
        self._share = 0 if dimensions >= _FEWEST else len(_SHARES) - 1
        self._fast = self._columns()
        """A column per query, as a product reads them: what leads and the length of the rest."""
        self._tiles: dict[tuple[int, int], tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}
        """By shape where products and comparisons go: fresh pages would cost more than the comparison."""
        self._pairs = tuple(np.empty((_PAIRS, dimensions), dtype=kind) for kind in (np.float32, *[np.float64] * 3))

    def add(self, query: NDArray[np.float64], bound: float, plan: int) -> None:
        """Let a query nominate an alert when a document's cosine, rounded, may be ``bound`` or more."""
        key = _key(query)
        row = self.row_of.get(key)
        if row is None:
            row = self.row_of[key] = self._new_row(query)
        self._plans[row].append((bound, plan))
        self._set_bound(row)

    def remove(self, query: NDArray[np.float64], bound: float, plan: int) -> None:
        """Undo one :meth:`add`."""
        key = _key(query)
        row = self.row_of[key]
        self._plans[row].remove((bound, plan))
        if not self._plans[row]:
            del self.row_of[key]
            self._free.append(row)
        self._set_bound(row)

    def _new_row(self, query: NDArray[np.float64]) -> int:
        if self._free:
            row = self._free.pop()
        else:
            row = self._queries
            self._queries += 1
            self._plans.append([])
            if row == len(self._bounds):
                self._exact = np.concatenate([self._exact, np.zeros_like(self._exact)])
                self._fast = np.concatenate([self._fast, np.zeros_like(self._fast)], axis=1)
                self._bounds = np.concatenate([self._bounds, np.full(row, np.inf, dtype=np.float32)])
        self._exact[row] = query
        self._fast[:, row] = self._leading(query[None, :])[0]
        return row

    def _set_bound(self, row: int) -> None:
        lowest = min((bound for bound, _ in self._plans[row]), default=np.inf) - self._margin
        self._bounds[row] = np.nextafter(np.float32(lowest), np.float32(-np.inf))

    @property
    def _lead(self) -> int:
        return round(self._dimensions * _SHARES[self._share])

    def _leading(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Rows made unit length and cut to what leads, with the length of the rest as the last component."""
        narrow = vectors.astype(np.float32, copy=False)
        lead = self._lead
        if lead == self._dimensions:
            return fast_unit_rows(narrow)
        rest = squared_lengths(narrow[:, lead:])
        squares = squared_lengths(narrow[:, :lead]) + rest
        if not safe_lengths(squares):
            narrow = fast_unit_rows(narrow)
            rest, squares = squared_lengths(narrow[:, lead:]), np.ones(len(narrow), dtype=np.float32)
        inverse = np.reciprocal(np.sqrt(squares))
        rows = np.empty((len(narrow), lead + 1), dtype=np.float32)
        np.multiply(narrow[:, :lead], inverse[:, None], out=rows[:, :lead])
        np.multiply(np.sqrt(rest), inverse, out=rows[:, lead])
        return rows

    def _columns(self) -> NDArray[np.float32]:
        return np.ascontiguousarray(self._leading(self._exact).T)

    def search(self, block: Block, found: list[Nomination]) -> None:
        """Append the nominations of a block's documents, none missing."""
        for start in range(0, len(block.vectors), _ROWS):
            some = block.vectors[start : start + _ROWS]
            pairs = list(self._candidates(self._leading(some)))
            if not pairs:
                continue
            rows = np.concatenate([tile_rows for tile_rows, _ in pairs])
            queries = np.concatenate([tile_queries for _, tile_queries in pairs])
            before = len(found)
            self._decide(block, rows + start, queries, found)
            if len(rows) - (len(found) - before) > _IN_VAIN * len(some) and self._share < len(_SHARES) - 1:
                self._share += 1
                self._fast = self._columns()

    def _candidates(self, fast: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Rows and queries whose product comes near a bound."""
        for start in range(0, self._queries, _QUERIES):
            stop = min(start + _QUERIES, self._queries)
            shape = (len(fast), stop - start)
            if shape not in self._tiles:
                if len(self._tiles) > _SHAPES:
                    self._tiles.clear()
                self._tiles[shape] = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.bool_)
            products, reached = self._tiles[shape]
            np.matmul(fast, self._fast[:, start:stop], out=products)
            np.greater_equal(products, self._bounds[start:stop], out=reached)
            cells = np.flatnonzero(reached)
            if len(cells):
                at, query = np.divmod(cells, stop - start)
                yield at, query + start

    def _decide(
        self, block: Block, rows: NDArray[np.intp], queries: NDArray[np.intp], found: list[Nomination]
    ) -> None:
        """Exact cosines of candidates against the bounds of their alerts."""
        documents = block.documents[rows].tolist()
        for start in range(0, len(queries), _PAIRS):
            some = queries[start : start + _PAIRS]
            numbers = some.tolist()
            exact = self._cosines(block.vectors, rows[start : start + _PAIRS], some).tolist()
            for document, number, cosine in zip(documents[start : start + _PAIRS], numbers, exact, strict=True):
                for bound, plan in self._plans[number]:
                    if cosine + ROUNDING >= bound:
                        found.append((document, plan, cosine))

    def _cosines(
        self, vectors: NDArray[np.float32], rows: NDArray[np.intp], queries: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """``cosines(unit_rows(vectors[rows]), queries)``, to the last bit, in memory that is used again."""
        narrow, left, right, products = (room[: len(rows)] for room in self._pairs)
        np.take(vectors, rows, axis=0, out=narrow)
        left[:] = narrow
        np.multiply(left, left, out=products)
        lengths = np.sqrt(products.sum(axis=1))
        lengths[lengths == 0.0] = 1.0
        left /= lengths[:, None]
        np.take(self._exact, queries, axis=0, out=right)
        np.multiply(left, right, out=products)
        cosines: NDArray[np.float64] = products.sum(axis=1)
        return cosines


def _key(query: NDArray[np.float64]) -> bytes:
    return blake2b(query.tobytes(), digest_size=16).digest()
