"""The vectors of one batch of documents for one feature URI, by dimensions, as exact unit rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.vectors.cosine import unit_rows
from streams.engines.retrieval.vectors.embedder import HashingEmbedder, document_text
from streams.engines.retrieval.vectors.features import resolve_feature


@dataclass(frozen=True, slots=True)
class Block:
    """Documents whose vectors have the same dimensions; those of length zero are left out."""

    documents: NDArray[np.intp]
    """Index of each row's document in the batch."""
    unit: NDArray[np.float64]
    """Shape ``(documents, dimensions)``."""

    def row(self, document: int) -> int | None:
        """The row of a document, ``None`` when it has none here."""
        at = int(np.searchsorted(self.documents, document))
        return at if at < len(self.documents) and self.documents[at] == document else None


def blocks(uri: str, documents: Sequence[DocumentEvent], embedder: HashingEmbedder) -> dict[int, Block]:
    """Dimensions → block, for a batch. For the built-in URI the texts of documents that bring no vector of
    their own are embedded."""
    vectors: dict[int, list[NDArray[np.float32]]] = {}
    owners: dict[int, list[int]] = {}
    textual: list[int] = []
    for index, document in enumerate(documents):
        name = resolve_feature(uri, document.features)
        if name is None:
            textual.append(index)
            continue
        vector = document.features[name]
        vectors.setdefault(vector.size, []).append(vector)
        owners.setdefault(vector.size, []).append(index)
    found = {size: _block(owners[size], np.concatenate(rows).reshape(-1, size)) for size, rows in vectors.items()}
    if uri == HashingEmbedder.URI and textual:
        texts = [document_text(documents[index].text, documents[index].payload) for index in textual]
        embedded = embedder.embed(texts)
        size = HashingEmbedder.DIMENSIONS
        if size in vectors:
            # Rows stay in document order, which Block.row relies on.
            order = np.argsort(np.array(owners[size] + textual))
            rows = np.concatenate([np.stack(vectors[size]), embedded])[order]
            found[size] = _block(sorted(owners[size] + textual), rows)
        else:
            found[size] = _block(textual, embedded)
    return found


def _block(owners: list[int], rows: NDArray[np.float32]) -> Block:
    documents = np.array(owners, dtype=np.intp)
    present = rows.any(axis=1)
    if not present.all():
        documents, rows = documents[present], rows[present]
    return Block(documents, unit_rows(rows))
