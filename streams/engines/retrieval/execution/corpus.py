"""Where stages find documents: one protocol for documents in memory and in a database (design section 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streams.engines.retrieval.filters.nodes import ALWAYS
from streams.engines.retrieval.filters.parse import Filter
from streams.engines.retrieval.stages.stage import Row, Vector

EVERYTHING = Filter(ALWAYS)
"""The filter that every document fits."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which documents a question is about."""

    collections: tuple[str, ...] | None = None
    """Collection ids; ``None`` means every collection of the corpus."""
    where: Filter = EVERYTHING


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """Documents nearest to a query by one feature."""

    feature_uri: str
    queries: NDArray[np.float64]
    """Unit vectors, shape ``(queries, dimensions)``; a document's score is its best over them."""
    k: int
    min_score: float | None = None
    """The least rounded cosine that counts."""


class Corpus(Protocol):
    """Documents to search. Rows it gives are the caller's own down to the top level of ``fields``."""

    async def nearest(self, asked: Nearest, scope: Scope) -> list[Row]:
        """At most ``k`` rows with their cosine as score (rounded as ``vectors/cosine.py`` does), best first, equal
        scores by collection and document id. Exact: a score depends on the query and the document alone."""
        ...

    async def lexical(self, text: str, k: int, scope: Scope) -> list[Row]:
        """At most ``k`` rows by BM25 of the words of their text, best first, ties as in :meth:`nearest`."""
        ...

    async def scan(self, scope: Scope, limit: int) -> list[Row]:
        """At most ``limit`` rows per collection, without scores, by collection and document id."""
        ...

    async def count(self, scope: Scope) -> int:
        """How many documents are in scope."""
        ...

    async def get(self, collection_id: str, document_ids: Sequence[str]) -> list[Row]:
        """The named documents in the order asked; those that do not exist are left out."""
        ...

    async def lookup(self, collection_id: str, field: str, values: Sequence[Any]) -> list[list[Row]]:
        """For each value the documents whose ``field`` (a dotted path, or ``document_id``) equals it as the filter
        ``eq`` with case does, by document id."""
        ...

    async def vectors_of(
        self, collection_id: str, document_ids: Sequence[str], feature_uri: str
    ) -> Mapping[str, Vector]:
        """The stored vectors that a feature URI means, each of shape ``(dimensions,)``, by document; those that
        have none are left out."""
        ...

    async def features(self, collections: tuple[str, ...] | None) -> Mapping[str, int]:
        """Feature name → dimensions, of the documents in these collections."""
        ...

    async def collections(self) -> tuple[str, ...]:
        """Ids of the collections there are, sorted."""
        ...

    def position(self) -> Mapping[str, Any] | None:
        """Up to where the documents have been read, for the record; ``None`` where that has no meaning."""
        ...
