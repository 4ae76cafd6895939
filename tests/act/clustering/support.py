"""Points and plans of the tests of clustering."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.act.clustering.algorithms import parameters_of
from streams.act.clustering.plan import Plan, Source
from streams.act.clustering.points import Points

Vectors = NDArray[np.float32]


def blobs(per_cluster: int = 40, clusters: int = 3, dimensions: int = 6, spread: float = 0.05) -> Vectors:
    """Points around well separated centres, in mixed order."""
    random = np.random.default_rng(7)
    centres = np.eye(clusters, dimensions)
    rows = np.concatenate([centre + spread * random.normal(size=(per_cluster, dimensions)) for centre in centres])
    random.shuffle(rows)
    return rows.astype(np.float32)


def points_of(vectors: Vectors | None, texts: list[str] | None = None, *, normalize: bool = False) -> Points:
    """Points with made-up ids."""
    count = len(texts if texts is not None else vectors if vectors is not None else ())
    return Points([f"col_a/d{n:06}" for n in range(count)], texts or [""] * count, [vectors], normalize)


SOURCE = Source(("col_a",), {})


def plan(method: str = "kmeans", *, sample_size: int | None = None, depth: int = 1, **given: Any) -> Plan:
    """A plan over one collection."""
    return Plan(SOURCE, method, parameters_of(method, given), sample_size=sample_size, depth=depth)
