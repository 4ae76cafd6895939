"""Vectors of one feature and length in one matrix: added, replaced and taken out in place, searched exactly."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.engines.retrieval.execution.corpus import Nearest
from streams.engines.retrieval.stages.stage import Vector
from streams.engines.retrieval.vectors.cosine import ROUNDING, best_cosines, fast_unit_rows, margin

_LEAST_ROWS: Final = 64
_FIRST_LOOK: Final = 256


class VectorTable:
    """Document id → vector. Rows of documents taken out are used again; a table that has become mostly empty is
    made smaller."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._raw = np.zeros((0, dimensions), dtype=np.float32)
        self._unit = np.zeros((0, dimensions), dtype=np.float32)
        self._ids: list[str | None] = []
        self._rows: dict[str, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, document_id: str, vector: Vector) -> None:
        """Add or replace a vector of a length above zero."""
        row = self._rows.get(document_id)
        if row is None:
            row = self._new_row(document_id)
        self._raw[row] = vector
        self._unit[row] = fast_unit_rows(self._raw[row : row + 1])[0]

    def remove(self, document_id: str) -> None:
        """Take a vector out; nothing for one that is not here."""
        row = self._rows.pop(document_id, None)
        if row is None:
            return
        self._ids[row] = None
        self._unit[row] = 0.0
        self._free.append(row)
        if len(self._ids) > 2 * _LEAST_ROWS and len(self._rows) < len(self._ids) // 4:
            self._compact()

    def nearest(self, asked: Nearest, fits: Callable[[str], bool] | None) -> list[tuple[str, float]]:
        """At most ``k`` ids with their rounded cosine, best first, equal ones by id, of those that fit.

        The float32 product only nominates: candidates are scored in float64 from the best estimate down, until
        none below could still be among the best.
        """
        used = len(self._ids)
        if not self._rows:
            return []
        estimates = (self._unit[:used] @ asked.queries.astype(np.float32).T).max(axis=1)
        off = margin(self._dimensions) + ROUNDING
        if asked.min_score is not None:
            rows = np.flatnonzero(estimates >= asked.min_score - off)
        else:
            rows = np.arange(used)
        found: list[tuple[float, str]] = []
        for block in _descending(estimates, rows, max(_FIRST_LOOK, 2 * asked.k)):
            if len(found) >= asked.k and estimates[block[0]] + off < -found[asked.k - 1][0]:
                break
            named = [(row, name) for row in block if (name := self._ids[row]) is not None]
            kept = [(int(row), name) for row, name in named if fits is None or fits(name)]
            found += self._scored(kept, asked)
            found.sort()
            del found[asked.k :]
        return [(name, -negative) for negative, name in found]

    def _scored(self, kept: list[tuple[int, str]], asked: Nearest) -> list[tuple[float, str]]:
        if not kept:
            return []
        rounded = best_cosines(self._raw[[row for row, _ in kept]], asked.queries)
        least = -2.0 if asked.min_score is None else asked.min_score
        return [(-score, name) for score, (_, name) in zip(rounded, kept, strict=True) if score >= least]

    def _new_row(self, document_id: str) -> int:
        if self._free:
            row = self._free.pop()
            self._ids[row] = document_id
        else:
            row = len(self._ids)
            if row == len(self._raw):
                self._resize(max(_LEAST_ROWS, 2 * row))
            self._ids.append(document_id)
        self._rows[document_id] = row
        return row

    def _resize(self, rows: int) -> None:
        used = len(self._ids)
        for name in ("_raw", "_unit"):
            larger = np.zeros((rows, self._dimensions), dtype=np.float32)
            larger[:used] = getattr(self, name)[:used]
            setattr(self, name, larger)

    def _compact(self) -> None:
        kept = sorted(self._rows.values())
        self._raw, self._unit = self._raw[kept], self._unit[kept]
        self._ids = [self._ids[row] for row in kept]
        self._rows = {name: row for row, name in enumerate(self._ids) if name is not None}
        self._free = []


def _descending(estimates: NDArray[np.float32], rows: NDArray[np.intp], size: int) -> Iterator[NDArray[np.intp]]:
    """Rows in blocks of growing size, the best estimates first; only as many are put in order as are taken."""
    while len(rows):
        block = rows
        if len(rows) > size:
            cut = np.argpartition(-estimates[rows], size)
            block, rows = rows[cut[:size]], rows[cut[size:]]
        else:
            rows = rows[:0]
        yield block[np.argsort(-estimates[block], kind="stable")]
        size *= 4
