"""Thresholded cosine searches of many alerts: float32 matrix products nominate, the float64 cosine of each
nominated pair decides (``cosine.py``).

A product is taken and compared with the thresholds in tiles that stay in the processor's cache, so that a
search costs little more than the product. One thread at a time, but for the products of searches that have begun.
"""

from collections.abc import Mapping

from streams.engines.retrieval.percolate.plan import Search
from streams.engines.retrieval.percolate.query_matrix import QueryMatrix, Question
from streams.engines.retrieval.vectors.feature_batch import Block


class VectorIndex:
    """Finds, for a batch, the alerts whose bound a document's cosine reaches once it is rounded."""

    def __init__(self) -> None:
        self._matrices: dict[tuple[str, int], QueryMatrix] = {}

    def add(self, search: Search, bound: float, plan: int) -> None:
        """Let a search nominate an alert when its cosine, rounded, may be ``bound`` or more."""
        key = (search.feature_uri, search.query.size)
        if key not in self._matrices:
            self._matrices[key] = QueryMatrix(search.query.size)
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

    def ask(self, uri: str, batch: Mapping[int, Block]) -> list[Question]:
        """Begin to search one feature of a batch."""
        found = ((self._matrices.get((uri, size)), block) for size, block in batch.items())
        return [matrix.ask(block) for matrix, block in found if matrix is not None and len(block.documents)]
