"""The documents of one clustering as rows of numbers, made when they are asked for."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.act.clustering.algorithms import Matrix
from streams.engines.retrieval.vectors.embedder import HashingEmbedder

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Points:
    """Documents and what they are measured by. With ``vectors`` of shape ``(n, d)`` those are the rows, else
    the rows are the embedded ``texts``: only as many at a time as are asked for, so memory does not grow with
    the collection."""

    ids: Sequence[str]
    """``collection/document``, in the order of reading."""
    texts: Sequence[str]
    """One per document, empty where it has none."""
    vectors: Matrix | None
    normalize: bool

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, indices: Indices) -> tuple[Indices, Matrix]:
        """The rows of some documents, shape ``(k, d)``, and which documents they are: one whose text holds no
        words, or whose vector has no direction to normalise, is left out."""
        if self.vectors is None:
            rows = HashingEmbedder().embed([self.texts[index] for index in indices])
        else:
            # Indexing by an array copies, so the payload stays as it came.
            rows = self.vectors[indices]
            if not self.normalize:
                return indices, rows
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        kept = lengths > 0
        if not kept.all():
            indices, rows, lengths = indices[kept], rows[kept], lengths[kept]
        if self.normalize:
            rows /= lengths[:, None]
        return indices, rows


def sample(ids: Sequence[str], size: int | None) -> tuple[Indices, Indices]:
    """Indices drawn for a sample of ``size``, and the rest, both ascending.

    Chosen by a hash of the ids: the same documents give the same sample in any order and on any machine, and a
    document added later changes at most one of its members.
    """
    everything = np.arange(len(ids), dtype=np.int64)
    if size is None or len(ids) <= size:
        return everything, everything[:0]
    ranks = np.fromiter(
        (
            int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, person=b"tw-sample").digest(), "big")
            for name in ids
        ),
        dtype=np.uint64,
        count=len(ids),
    )
    order = np.argsort(ranks, kind="stable")
    return np.sort(order[:size]), np.sort(order[size:])
