"""How good a clustering is: the metrics of contract 4.10, on a bounded number of rows."""

import importlib
from typing import Any

import numpy as np

from streams.act.clustering.algorithms import Labels, Matrix

SILHOUETTE_ROWS = 2_000
"""Rows the silhouette is computed on at most: its cost grows with their square."""
MOST_ROWS = 20_000
"""Rows the other two are computed on at most: they copy them."""


def metrics_of(rows: Matrix, labels: Labels) -> dict[str, float]:
    """``silhouette_score`` [-1..1], ``davies_bouldin_index``, ``calinski_harabasz_score`` (all >= 0, without
    noise; absent where there are fewer than two clusters or no more rows than clusters) and ``noise_ratio``."""
    measured = {"noise_ratio": float(np.mean(labels < 0)) if len(labels) else 0.0}
    inside = np.flatnonzero(labels >= 0)
    # Every n-th row: rows come in the order of ids, which says nothing about clusters.
    some = inside[:: _step(len(inside), MOST_ROWS)]
    rows, labels = rows[some], labels[some]
    sk: Any = importlib.import_module("sklearn.metrics")
    if _comparable(labels):
        measured["davies_bouldin_index"] = float(sk.davies_bouldin_score(rows, labels))
        measured["calinski_harabasz_score"] = float(sk.calinski_harabasz_score(rows, labels))
    step = _step(len(labels), SILHOUETTE_ROWS)
    if _comparable(labels[::step]):
        measured["silhouette_score"] = float(sk.silhouette_score(rows[::step], labels[::step]))
    return measured


def _step(count: int, most: int) -> int:
    return max(-(-count // most), 1)


def _comparable(labels: Labels) -> bool:
    return 2 <= len(np.unique(labels)) < len(labels)
