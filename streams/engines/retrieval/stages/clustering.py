"""The algorithms of the stage ``cluster``, by scikit-learn over unit vectors (contract sections 4.10 and 6)."""

from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Algorithm: TypeAlias = Literal["hdbscan", "kmeans", "dbscan", "agglomerative", "spectral", "gaussian_mixture"]

SEED: Final = 42
MAX_AUTOMATIC: Final = 8


def labelled(
    unit: NDArray[np.float64], algorithm: Algorithm, n_clusters: int | None, min_cluster_size: int
) -> NDArray[np.intp]:
    """A label for each row, -1 for those in no cluster; the same rows give the same labels.

    ``unit`` are rows of length 1, shape ``(rows, dimensions)``. ``n_clusters`` counts for the algorithms that are
    told how many, ``min_cluster_size`` for the others.
    """
    rows, distinct = len(unit), len(np.unique(unit, axis=0))
    if algorithm in ("hdbscan", "dbscan"):
        size = max(2, min(min_cluster_size, rows // 3))
        if rows < size:
            return np.full(rows, -1, dtype=np.intp)
        return _fitted(_by_density(algorithm, size), unit)
    count = min(n_clusters or max(2, min(MAX_AUTOMATIC, rows // 10)), distinct)
    if count < 2 or count == rows:
        # Nothing to find: one cluster of all that is the same, or each on its own.
        return np.zeros(rows, dtype=np.intp) if count < 2 else np.arange(rows, dtype=np.intp)
    # The radial basis function of contract 4.10 (gamma 1); between unit vectors the squared distance is 2 - 2 cos.
    given = np.exp(2.0 * np.minimum(unit @ unit.T, 1.0) - 2.0) if algorithm == "spectral" else unit
    return _fitted(_told(algorithm, count), given)


def _by_density(algorithm: str, size: int) -> Any:
    from sklearn.cluster import DBSCAN, HDBSCAN

    if algorithm == "dbscan":
        return DBSCAN(eps=0.5, min_samples=size)
    return HDBSCAN(min_cluster_size=size, copy=True)


def _told(algorithm: str, count: int) -> Any:
    # Loading scikit-learn takes more than a second; processes that cluster nothing do without.
    from sklearn.cluster import AgglomerativeClustering, KMeans, SpectralClustering
    from sklearn.mixture import GaussianMixture

    if algorithm == "agglomerative":
        return AgglomerativeClustering(n_clusters=count)
    if algorithm == "spectral":
        return SpectralClustering(n_clusters=count, affinity="precomputed", random_state=SEED)
    if algorithm == "gaussian_mixture":
        # One variance per dimension: documents are fewer than dimensions, which a full covariance needs more of.
        return GaussianMixture(n_components=count, covariance_type="diag", random_state=SEED)
    return KMeans(n_clusters=count, n_init=10, random_state=SEED)


def _fitted(model: Any, given: NDArray[np.float64]) -> NDArray[np.intp]:
    labels: NDArray[np.intp] = np.asarray(model.fit_predict(given), dtype=np.intp)
    return labels
