"""Features of documents: the one that is built in, and how large a vector may be."""

from typing import Final

HASHING: Final = "mixpeek://hashing@v1/words"
"""The built-in embedding of a document's words."""

MAX_DIMENSIONS: Final = 16_000
"""Dimensions of a vector, at most."""
