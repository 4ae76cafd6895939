"""The clustering methods of contract 4.10 that scikit-learn has: defaults, names, and how much they can take."""

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.act.failures import ActionError

Matrix = NDArray[np.float32]
Labels = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Method:
    """One method: the estimator and the contract's parameters with their defaults."""

    estimator: str
    """``module:class``, imported only in the process that computes."""
    defaults: Mapping[str, Any]
    most_rows: int | None = None
    """Rows it is fitted on at most, for methods whose memory or time grows with the square; the rest of the
    documents go to the nearest centroid."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Parameters scikit-learn calls otherwise."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Parameters the contract does not name."""


METHODS: Mapping[str, Method] = {
    "kmeans": Method(
        "sklearn.cluster:KMeans",
        {
            "n_clusters": 8,
            "max_iter": 300,
            "n_init": 10,
            "tol": 1e-4,
            "init": "k-means++",
            "random_state": 42,
            "algorithm": "lloyd",
        },
    ),
    "dbscan": Method(
        "sklearn.cluster:DBSCAN",
        {"eps": 0.5, "min_samples": 5, "metric": "euclidean", "algorithm": "auto", "leaf_size": 30},
        most_rows=20_000,
    ),
    "hdbscan": Method(
        "sklearn.cluster:HDBSCAN",
        {
            "min_cluster_size": 5,
            "min_samples": None,
            "cluster_selection_epsilon": 0.0,
            "max_cluster_size": None,
            "metric": "euclidean",
            "alpha": 1.0,
            "cluster_selection_method": "eom",
            "allow_single_cluster": False,
        },
        most_rows=10_000,
        fixed={"copy": True},
    ),
    "agglomerative": Method(
        "sklearn.cluster:AgglomerativeClustering",
        {"n_clusters": 2, "affinity": "euclidean", "linkage": "ward", "distance_threshold": None},
        most_rows=10_000,
        renamed={"affinity": "metric"},
    ),
    "spectral": Method(
        "sklearn.cluster:SpectralClustering",
        {
            "n_clusters": 8,
            "affinity": "rbf",
            "gamma": 1.0,
            "n_neighbors": 10,
            "assign_labels": "kmeans",
            "random_state": 42,
        },
        most_rows=5_000,
    ),
    "gaussian_mixture": Method(
        "sklearn.mixture:GaussianMixture",
        {
            "n_components": 1,
            "covariance_type": "full",
            "tol": 1e-3,
            "reg_covar": 1e-6,
            "max_iter": 100,
            "random_state": 42,
        },
        most_rows=20_000,
    ),
    "mean_shift": Method(
        "sklearn.cluster:MeanShift",
        {"bandwidth": None, "bandwidth_quantile": 0.1, "bin_seeding": False, "cluster_all": True, "max_iter": 300},
        most_rows=5_000,
    ),
    "optics": Method(
        "sklearn.cluster:OPTICS",
        {
            "min_samples": 5,
            "max_eps": None,
            "metric": "minkowski",
            "p": 2,
            "cluster_method": "xi",
            "xi": 0.05,
        },
        most_rows=10_000,
    ),
}


def method_named(name: str) -> Method:
    """A method by its contract name. Raises :class:`ActionError` listing the known ones."""
    method = METHODS.get(name)
    if method is None:
        raise ActionError(
            f"clustering method {name} is not available in this version; available are {', '.join(METHODS)}"
        )
    return method


def parameters_of(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The contract's parameters of a method with ``given`` over its defaults; ``None`` means the default.

    Raises :class:`ActionError` for a parameter the method does not have.
    """
    defaults = method_named(name).defaults
    chosen = {key: value for key, value in given.items() if value is not None}
    if unknown := sorted(chosen.keys() - defaults.keys()):
        raise ActionError(f"{name} has no parameter {', '.join(unknown)}; it has {', '.join(defaults)}")
    return {**defaults, **chosen}


def clusters_asked(parameters: Mapping[str, Any]) -> int | None:
    """How many clusters the parameters ask for, for methods that are told."""
    if parameters.get("distance_threshold") is not None:
        return None
    asked = parameters.get("n_clusters", parameters.get("n_components"))
    return asked if isinstance(asked, int) else None


_SPARSE = 0.05
_SMALL = 4_000_000


def _compact(rows: Matrix) -> Any:
    """Many hashed short texts are nearly all zeros: k-means over a sparse matrix of them is four times as fast
    (1,024 dimensions, 5,000 tweets, 20 clusters: 3.7 s and 1.0 s). It finds clusters as good, with other last
    bits and so perhaps in another order, which a small input does not gain enough by."""
    if rows.size < _SMALL or np.count_nonzero(rows) > _SPARSE * rows.size:
        return rows
    return importlib.import_module("scipy.sparse").csr_matrix(rows)


class Fit(NamedTuple):
    """What a method found: labels of shape ``(n,)`` (-1: noise), and centres where the method has its own."""

    labels: Labels
    centres: Matrix | None


def fit(name: str, parameters: Mapping[str, Any], rows: Matrix) -> Fit:
    """Run a method over ``rows``, shape ``(n, d)``. Raises ``ValueError`` for values scikit-learn refuses."""
    method = method_named(name)
    arguments = {method.renamed.get(key, key): value for key, value in parameters.items()} | dict(method.fixed)
    if arguments.get("distance_threshold") is not None:
        arguments["n_clusters"] = None
    if "max_eps" in arguments and arguments["max_eps"] is None:
        arguments["max_eps"] = math.inf
    if "bandwidth_quantile" in arguments:
        quantile = arguments.pop("bandwidth_quantile")
        if arguments["bandwidth"] is None:
            cluster = importlib.import_module("sklearn.cluster")
            arguments["bandwidth"] = cluster.estimate_bandwidth(rows, quantile=quantile, random_state=42)
    module, _, estimator = method.estimator.partition(":")
    model = getattr(importlib.import_module(module), estimator)(**arguments)
    labels = np.asarray(model.fit_predict(_compact(rows) if name == "kmeans" else rows), dtype=np.int32)
    centres = model.cluster_centers_ if name == "kmeans" else None
    return Fit(labels, centres)
