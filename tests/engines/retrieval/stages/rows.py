"""Rows for tests of stages: a few written out, and any that JSON can hold."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from streams.engines.retrieval.stages.stage import Row

WORDS = st.sampled_from(["flu", "Flu", "Genève", "東京", "", "2024-05-01", "2024-05-01T10:00:00Z", "10", "🦠"])
NUMBERS = st.one_of(
    st.integers(-5, 5),
    st.floats(-10, 10),
    st.sampled_from([0, 0.5, 1e308, -1e308, 5e-324, 2**63, 10**400]),
)
SCALARS = st.one_of(WORDS, NUMBERS, st.none(), st.booleans(), st.text(max_size=5))
KEYS = st.sampled_from(["a", "b", "tags", "content", "metadata", "scores", "payload", "score", "a.b", "0", "é"])
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)
LIKELY = st.fixed_dictionaries(
    {},
    optional={
        "a": st.one_of(st.integers(-5, 5), SCALARS),
        "tags": st.lists(SCALARS, max_size=3),
        "content": st.lists(WORDS, max_size=4).map(" ".join),
        "metadata": st.fixed_dictionaries({}, optional={"a": SCALARS, "tags": JSON}),
    },
)
FIELDS = st.one_of(
    LIKELY, st.builds(lambda likely, other: {**likely, **other}, LIKELY, st.dictionaries(KEYS, JSON))
)
"""Fields of the names that tests ask for, and any others."""


def row(document_id: str = "d", score: float | None = None, vector: Sequence[float] = (), **fields: Any) -> Row:
    """A row of the collection ``news``."""
    features = {"words": np.array(vector, dtype=np.float32)} if len(vector) else {}
    return Row(document_id, "news", fields, score, features)


@st.composite
def any_rows(draw: st.DrawFn, *, least: int = 0, most: int = 8, vectors: bool = True) -> list[Row]:
    """Rows with different ids and whatever else."""
    found = []
    for at in range(draw(st.integers(least, most))):
        score = draw(st.one_of(st.none(), st.floats(-1, 1), st.sampled_from([0.5, 1e308])))
        vector: list[float] = []
        if vectors and draw(st.booleans()):
            vector = draw(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=2))
        found.append(Row(f"d{at}", draw(st.sampled_from(["news", "other"])), draw(FIELDS), score))
        if vector:
            found[-1].features = {"words": np.array(vector, dtype=np.float32)}
    return found
