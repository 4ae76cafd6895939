"""What is done to rows before they are clustered (contract 4.10, ``preprocessing_steps``)."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streams.act.clustering.algorithms import Matrix
from streams.act.failures import ActionError

MOST_ROWS_OF_TSNE = 5_000
"""Rows t-SNE takes at most: it takes some ten seconds for as many."""
_FEWEST = 4


def most_rows(steps: Sequence[Mapping[str, Any]]) -> int | None:
    """How many rows the steps can take; ``None``: any number."""
    return MOST_ROWS_OF_TSNE if any(step["method"] == "tsne" for step in steps) else None


def transform(steps: Sequence[Mapping[str, Any]], rows: Matrix) -> Matrix:
    """``rows``, shape ``(n, d)``, after every step in order. Raises :class:`ActionError` for too few rows."""
    if steps and len(rows) < _FEWEST:
        raise ActionError(f"preprocessing needs at least {_FEWEST} documents, there are {len(rows)}")
    for step in steps:
        rows = _whitened(rows) if step["method"] == "whitening" else _tsne(step, rows)
    return rows


def _whitened(rows: Matrix) -> Matrix:
    decomposition = importlib.import_module("sklearn.decomposition")
    # Fewer components than rows: the last one of as many would be the noise of rounding, scaled up.
    components = min(rows.shape[1], len(rows) - 1)
    model = decomposition.PCA(components, whiten=True, random_state=42)
    return np.asarray(model.fit_transform(rows), dtype=np.float32)


def _tsne(step: Mapping[str, Any], rows: Matrix) -> Matrix:
    manifold = importlib.import_module("sklearn.manifold")
    model = manifold.TSNE(
        n_components=step["n_components"],
        # scikit-learn wants fewer neighbours than rows.
        perplexity=min(step["perplexity"], (len(rows) - 1) / 3),
        learning_rate=step["learning_rate"],
        random_state=step["random_state"],
        init="pca",
    )
    return np.asarray(model.fit_transform(rows), dtype=np.float32)
