"""The built-in embedder: hashed words, cheap enough to run wherever a text is read (design section 4)."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.features import HASHING


def document_text(text: str | None, payload: Any) -> str:
    """What of a document is embedded: its ``text``, else a string ``text`` in its payload, else nothing."""
    if text is not None:
        return text
    if isinstance(payload, dict):
        found = payload.get("text")
        if isinstance(found, str):
            return found
    return ""


class HashingEmbedder:
    """Counts of hashed words with alternating signs (Weinberger et al. 2009, "Feature hashing for large scale
    multitask learning"). Lexical: it knows spelling, not meaning; prefer a model where meaning matters.

    No state and no training: the same text has the same bytes in every process and every batch cut.
    """

    URI: Final = HASHING
    DIMENSIONS: Final = 1024

    def __init__(self) -> None:
        self._vectorizer: Any = None

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of texts, shape ``(len(texts), DIMENSIONS)``, rows of length 1; a text without words (two or
        more letters or digits) gives the zero vector."""
        if not texts:
            return np.zeros((0, self.DIMENSIONS), dtype=np.float32)
        if self._vectorizer is None:
            # Loading scikit-learn takes more than a second; processes that embed nothing do without.
            from sklearn.feature_extraction.text import HashingVectorizer

            self._vectorizer = HashingVectorizer(n_features=self.DIMENSIONS, norm="l2", alternate_sign=True)
        vectors: NDArray[np.float32] = self._vectorizer.transform(texts).astype(np.float32).toarray()
        return vectors
