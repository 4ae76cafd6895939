"""The queries of one feature and number of dimensions, searched for those a document's cosine may reach.

Most pairs are far below their bound, and the leading components alone show it: with a and b split into leading
and remaining components, a·b is at most the product of the leading ones plus the product of the lengths of the
rest (Cauchy-Schwarz). As both lengths are one more component of each vector, that bound is itself one product, of
half or three quarters of the dimensions. Where it lets too much through, as low bounds make it, the whole product
is taken. Whatever nominates, the float64 cosine of each nominated pair decides.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple, TypeAlias

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
_DECIDED: Final = 50_000
"""Deciding a pair costs as much as so many multiplications within a product."""
_SEVERAL: Final = -1


class Nominations(NamedTuple):
    """Pairs that searches nominate, all three of shape ``(pairs,)``."""

    documents: NDArray[np.intp]
    """Indices in the batch."""
    owners: NDArray[np.intp]
    """Numbers of alerts."""
    cosines: NDArray[np.float64]
    """Exact, of the search that nominated the pair."""


Near: TypeAlias = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows of a block and, for each, a query that it may be near to."""


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
        self._owners = np.full(16, _SEVERAL, dtype=np.intp)
        """Per row its alert's number, where there is one alert."""
        self._lowest = np.full(16, np.inf, dtype=np.float64)
        """Per row the lowest bound of any alert."""
        self._share = 0 if dimensions >= _FEWEST else len(_SHARES) - 1
        self._fast = self._columns()
        """A column per query, as a product reads them: what leads and the length of the rest."""
        self._tiles: dict[tuple[int, int], tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}
        """By shape where products and comparisons go: fresh pages would cost more than the comparison. Whoever is
        at it has taken it out: two threads may take the products of searches that were begun one after another."""
        self._pairs = tuple(np.empty((_PAIRS, dimensions), dtype=kind) for kind in (np.float32, *[np.float64] * 3))

    def add(self, query: NDArray[np.float64], bound: float, plan: int) -> None:
        """Let a query nominate an alert when a document's cosine, rounded, may be ``bound`` or more."""
        key = _key(query)
        row = self.row_of.get(key)
        if row is None:
            row = self.row_of[key] = self._new_row(query)
        self._plans[row].append((bound, plan))
        self._changed(row)

    def remove(self, query: NDArray[np.float64], bound: float, plan: int) -> None:
        """Undo one :meth:`add`."""
        key = _key(query)
        row = self.row_of[key]
        self._plans[row].remove((bound, plan))
        if not self._plans[row]:
            del self.row_of[key]
            self._free.append(row)
        self._changed(row)

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
                self._owners = np.concatenate([self._owners, np.full(row, _SEVERAL, dtype=np.intp)])
                self._lowest = np.concatenate([self._lowest, np.full(row, np.inf, dtype=np.float64)])
        self._exact[row] = query
        self._fast[:, row] = self._leading(query[None, :])[0]
        return row

    def _changed(self, row: int) -> None:
        plans = self._plans[row]
        lowest = self._lowest[row] = min((bound for bound, _ in plans), default=np.inf)
        self._bounds[row] = np.nextafter(np.float32(lowest - self._margin), np.float32(-np.inf))
        self._owners[row] = plans[0][1] if len(plans) == 1 else _SEVERAL

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

    def ask(self, block: Block) -> "Question":
        """Begin to search a block's documents."""
        starts = range(0, len(block.vectors), _ROWS)
        return Question(self, block, self._fast, [self._leading(block.vectors[at : at + _ROWS]) for at in starts])

    def nominated(self, question: "Question") -> Iterator[Nominations]:
        """What its products nominate, none missing."""
        block = question.block
        for start, pairs in zip(range(0, len(block.vectors), _ROWS), question.near(), strict=True):
            if not pairs:
                continue
            some = block.vectors[start : start + _ROWS]
            rows = np.concatenate([tile_rows for tile_rows, _ in pairs])
            queries = np.concatenate([tile_queries for _, tile_queries in pairs])
            cosines = self._cosines(some, rows, queries)
            near = np.flatnonzero(cosines + ROUNDING >= self._lowest[queries])
            if question.columns is self._fast and len(rows) - len(near) > self._in_vain(len(some)):
                self._share += 1
                self._fast = self._columns()
            if len(near):
                yield self._owned(block.documents[rows[near] + start], queries[near], cosines[near])

    def _in_vain(self, rows: int) -> float:
        """How many pairs may be decided in vain before more dimensions cost less."""
        if self._share == len(_SHARES) - 1:
            return np.inf
        more = self._dimensions * (_SHARES[self._share + 1] - _SHARES[self._share])
        return rows * self._queries * more / _DECIDED

    def _owned(
        self, documents: NDArray[np.intp], queries: NDArray[np.intp], cosines: NDArray[np.float64]
    ) -> Nominations:
        """Queries replaced by the alerts that ask them."""
        owners = self._owners[queries]
        if not (owners == _SEVERAL).any():
            return Nominations(documents, owners, cosines)
        asked = [
            (at, owner)
            for at, (query, cosine) in enumerate(zip(queries.tolist(), cosines.tolist(), strict=True))
            for bound, owner in self._plans[query]
            if cosine + ROUNDING >= bound
        ]
        pairs, all_owners = np.array(asked, dtype=np.intp).T
        return Nominations(documents[pairs], all_owners, cosines[pairs])

    def near(self, fast: NDArray[np.float32], columns: NDArray[np.float32]) -> Iterator["Near"]:
        """Rows and queries whose product comes near a bound."""
        for start in range(0, self._queries, _QUERIES):
            stop = min(start + _QUERIES, self._queries)
            shape = (len(fast), stop - start)
            tile = self._tiles.pop(shape, None)
            if tile is None:
                tile = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.bool_)
            products, reached = tile
            np.matmul(fast, columns[:, start:stop], out=products)
            np.greater_equal(products, self._bounds[start:stop], out=reached)
            cells = np.flatnonzero(reached)
            if len(self._tiles) > _SHAPES:
                self._tiles.clear()
            self._tiles[shape] = tile
            if len(cells):
                at, query = np.divmod(cells, stop - start)
                yield at, query + start

    def _cosines(
        self, vectors: NDArray[np.float32], rows: NDArray[np.intp], queries: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """``cosines(unit_rows(vectors[rows]), queries)``, to the last bit, some at a time in memory that is used
        again."""
        found = np.empty(len(rows), dtype=np.float64)
        for start in range(0, len(rows), _PAIRS):
            stop = min(start + _PAIRS, len(rows))
            narrow, left, right, products = (room[: stop - start] for room in self._pairs)
            # With the default mode numpy would take into a copy first; all indices are in range.
            np.take(vectors, rows[start:stop], axis=0, out=narrow, mode="clip")
            left[:] = narrow
            np.multiply(left, left, out=products)
            lengths = np.sqrt(products.sum(axis=1))
            lengths[lengths == 0.0] = 1.0
            left /= lengths[:, None]
            np.take(self._exact, queries[start:stop], axis=0, out=right, mode="clip")
            np.multiply(left, right, out=products)
            np.sum(products, axis=1, out=found[start:stop])
        return found


class Question:
    """A search of one block that has begun. The queries must not change before it is answered."""

    def __init__(
        self,
        matrix: QueryMatrix,
        block: Block,
        columns: NDArray[np.float32],
        rows: Sequence[NDArray[np.float32]],
    ) -> None:
        self.block = block
        self.columns = columns
        """Of the queries, as they were split when it began."""
        self._matrix = matrix
        self._rows = rows
        """Of the documents, split likewise."""
        self._near: list[list[Near]] | None = None

    @property
    def multiplications(self) -> int:
        """What its products come to."""
        return len(self.block.vectors) * self.columns.size

    def multiply(self) -> None:
        """Take the products. Nearly all of it is outside the interpreter, so that another thread can do it while
        the first goes on, also with other questions."""
        self._near = [list(self._matrix.near(rows, self.columns)) for rows in self._rows]

    def near(self) -> list[list[Near]]:
        """What the products leave to be decided, piece by piece of the block."""
        if self._near is None:
            self.multiply()
        assert self._near is not None
        return self._near

    def nominations(self) -> Iterator[Nominations]:
        """What the search nominates, none missing; whoever judges them rounds the cosine. An alert that asks
        twice may be nominated twice."""
        return self._matrix.nominated(self)


def _key(query: NDArray[np.float64]) -> bytes:
    return blake2b(query.tobytes(), digest_size=16).digest()
