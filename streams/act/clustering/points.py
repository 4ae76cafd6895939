"""The documents of one clustering as rows of numbers, made when they are asked for."""

import hashlib
import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.act.clustering.algorithms import Matrix
from streams.engines.retrieval.vectors.embedder import HashingEmbedder

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Points:
    """Documents and what they are measured by: the features of each, side by side.

    A feature is a matrix of shape ``(n, d)``, or ``None`` for the embedded ``texts``.
    """

    ids: Sequence[str]
    """``collection/document``."""
    texts: Sequence[str]
    """One per document, empty where it has none."""
    features: Sequence[Matrix | None]
    normalize: bool
    weights: Sequence[float] = ()
    """One per feature, by which its numbers are multiplied; none: all count alike."""

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self) -> tuple[Indices, Matrix]:
        """The rows, shape ``(k, d1 + d2 + …)``, and which documents they are: one whose text holds no words, or
        a vector of which has no direction to normalise, is left out."""
        kept = np.ones(len(self), dtype=bool)
        blocks: list[Matrix] = []
        for feature, weight in zip(self.features, self.weights or [1.0] * len(self.features), strict=True):
            embedded = feature is None
            block: Matrix = HashingEmbedder().embed(self.texts) if feature is None else feature
            if embedded or self.normalize:
                lengths = np.sqrt(np.einsum("ij,ij->i", block, block))
                kept &= lengths > 0
                if self.normalize:
                    # A new array: what came stays as it came.
                    block = block / np.where(lengths > 0, lengths, 1.0).astype(np.float32)[:, None]
            blocks.append(block if weight == 1.0 else (block * np.float32(weight)).astype(np.float32))
        rows = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
        return np.flatnonzero(kept), (rows if kept.all() else rows[kept])


def rank(name: tuple[str, str]) -> int:
    """A number from a document's collection and id alone, evenly spread."""
    digest = hashlib.blake2b("/".join(name).encode(), digest_size=8, person=b"tw-sample")
    return int.from_bytes(digest.digest(), "big")


class Draw:
    """A sample of at most ``size`` documents from a stream of their names, holding no more than the sample.

    Chosen by a hash of the names: the same documents give the same sample in any order and on any machine, and
    a document added later changes at most one of its members.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[int, tuple[str, str]]] = []
        self.seen = 0
        """Names taken into account so far."""

    def add(self, name: tuple[str, str]) -> None:
        """Take one name into account."""
        self.seen += 1
        entry = (-rank(name), name)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            heapq.heapreplace(self._heap, entry)

    def names(self) -> list[tuple[str, str]]:
        """The sample, sorted."""
        return sorted(name for _, name in self._heap)
