"""The clustering methods of contract 4.10 that scikit-learn has: names, and how much they can take."""

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from schemas.api.base import first_problem
from schemas.api.clustering import METHODS as SHAPES
from schemas.api.clustering import MISSING_METHODS, filled_parameters
from streams.act.failures import ActionError

Matrix = NDArray[np.float32]
Labels = NDArray[np.int32]

MOST_NUMBERS = 100_000_000
"""Numbers a method is fitted on at most (400 MB in float32): rows times dimensions."""
_COVARIANCE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Method:
    """One method of scikit-learn."""

    estimator: str
    """``module:class``, imported only in the process that computes."""
    most_rows: int = 1_000_000
    """Rows it is fitted on at most; lower where memory or time grow with the square. The rest of the documents
    go to the nearest centroid."""
    noise: bool = False
    """Whether it may leave points outside every cluster."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Parameters scikit-learn calls otherwise."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Parameters the contract does not name."""


METHODS: Mapping[str, Method] = {
    "kmeans": Method("sklearn.cluster:KMeans"),
    "dbscan": Method("sklearn.cluster:DBSCAN", 10_000, noise=True),
    "hdbscan": Method("sklearn.cluster:HDBSCAN", 10_000, noise=True, fixed={"copy": True}),
    "agglomerative": Method("sklearn.cluster:AgglomerativeClustering", 10_000, renamed={"affinity": "metric"}),
    "spectral": Method("sklearn.cluster:SpectralClustering", 5_000),
    "gaussian_mixture": Method("sklearn.mixture:GaussianMixture", 20_000),
    "mean_shift": Method("sklearn.cluster:MeanShift", 5_000, noise=True),
    "optics": Method("sklearn.cluster:OPTICS", 10_000, noise=True),
    "auto": Method("sklearn.cluster:KMeans"),
}


def method_named(name: str) -> Method:
    """A method by its contract name. Raises :class:`ActionError` that says why there is none."""
    method = METHODS.get(name)
    if method is None:
        why = MISSING_METHODS.get(name, f"there are {', '.join(METHODS)}")
        raise ActionError(f"clustering method {name} is not available: {why}")
    return method


def parameters_of(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The contract's parameters of a method with ``given`` over its defaults; ``None`` means the default.

    Raises :class:`ActionError` for a parameter the method does not have, or out of its bounds.
    """
    method_named(name)
    chosen = {key: value for key, value in given.items() if value is not None}
    defaults = SHAPES[name].model_fields
    if unknown := sorted(chosen.keys() - defaults.keys()):
        raise ActionError(f"{name} has no parameter {', '.join(unknown)}; it has {', '.join(defaults)}")
    try:
        return filled_parameters(name, chosen)
    except ValidationError as error:
        where, message = first_problem(error)
        raise ActionError(f"parameter {'.'.join(map(str, where))} of {name}: {message}") from error


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
    if name == "auto":
        name, parameters = "kmeans", parameters_of("kmeans", {"n_clusters": best_number(rows)})
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
    if name == "gaussian_mixture":
        _check_covariances(parameters, rows.shape[1])
    module, _, estimator = method.estimator.partition(":")
    model = getattr(importlib.import_module(module), estimator)(**arguments)
    labels = np.asarray(model.fit_predict(_compact(rows) if name == "kmeans" else rows), dtype=np.int32)
    centres = model.cluster_centers_ if name == "kmeans" else None
    return Fit(labels, centres)


def _check_covariances(parameters: Mapping[str, Any], dimensions: int) -> None:
    if parameters["covariance_type"] != "full":
        return
    needed = parameters["n_components"] * dimensions**2 * 8
    if needed > _COVARIANCE_BYTES:
        raise ActionError(
            f"{parameters['n_components']} full covariances of {dimensions} dimensions need"
            f" {needed / 2**30:.1f} GB, over the limit of {_COVARIANCE_BYTES / 2**30:.0f} GB; use covariance_type"
            " diag or tied, or fewer components"
        )


NUMBERS_TRIED = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)
"""Numbers of clusters ``auto`` chooses from."""
_TRIED_ROWS = 2_000


def best_number(rows: Matrix) -> int:
    """The number of clusters, of :data:`NUMBERS_TRIED`, whose k-means has the best mean silhouette on at most
    2,000 evenly spread rows (Rousseeuw 1987); 2 when there are too few rows to tell."""
    some = rows[:: max(-(-len(rows) // _TRIED_ROWS), 1)]
    cluster: Any = importlib.import_module("sklearn.cluster")
    metrics: Any = importlib.import_module("sklearn.metrics")
    scores = {}
    for number in NUMBERS_TRIED:
        if number * 2 > len(some):
            break
        labels = cluster.KMeans(number, n_init=3, random_state=42).fit_predict(some)
        if len(np.unique(labels)) == number:
            scores[number] = float(metrics.silhouette_score(some, labels))
    return max(scores, key=lambda number: (scores[number], -number), default=2)
