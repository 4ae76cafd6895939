"""What is measured of documents: the feature that is built in, how large a vector may be, metrics of fields."""

from typing import Final

HASHING: Final = "mixpeek://hashing@v1/words"
"""The built-in embedding of a document's words."""

FIELD_METRICS: Final = {"number": "ks", "category": "js"}
"""The drift metric of a payload field, by what it holds, where none is named."""

MAX_DIMENSIONS: Final = 16_000
"""Dimensions of a vector, at most."""
