"""The vectors of one batch of documents for one feature URI, by dimensions."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.vectors.cosine import unit_rows
from streams.engines.retrieval.vectors.embedder import HashingEmbedder, document_text
from streams.engines.retrieval.vectors.features import resolve_feature


class Block:
    """Documents whose vectors have the same dimensions; those of length zero are left out."""

    def __init__(self, documents: NDArray[np.intp], vectors: NDArray[np.float32]) -> None:
        self.documents = documents
        """Index of each row's document in the batch, ascending."""
        self.vectors = vectors
        """As they came, shape ``(documents, dimensions)``."""

    @cached_property
    def unit(self) -> NDArray[np.float64]:
        """Exact unit rows, shape ``(documents, dimensions)``; made when somebody asks for all of them."""
        return unit_rows(self.vectors)

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
        features = document.features
        vector = features.get(uri)
        if vector is None:
            name = resolve_feature(uri, features)
            if name is None:
                textual.append(index)
                continue
            vector = features[name]
        size = vector.size
        if size in owners:
            owners[size].append(index)
            vectors[size].append(vector)
        else:
            owners[size], vectors[size] = [index], [vector]
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
    # Where no row begins with a zero, none is all zeros: no need to look at the rest.
    if rows[:, 0].all():
        return Block(documents, rows)
    present = rows.any(axis=1)
    return Block(documents[present], rows[present])
