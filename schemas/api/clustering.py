"""How vectors are clustered: methods and their parameters (contract 4.10)."""

from typing import Any, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from schemas.api.base import ApiRequest, JsonObject, problem

ClusteringMethod = Literal[
    "kmeans",
    "dbscan",
    "hdbscan",
    "agglomerative",
    "spectral",
    "gaussian_mixture",
    "mean_shift",
    "optics",
    "leiden",
    "evoc",
    "attribute_based",
    "auto",
]

PARAMETERS: Final[dict[str, frozenset[str]]] = {
    "kmeans": frozenset(("n_clusters", "max_iter", "n_init", "tol", "init", "random_state", "algorithm")),
    "dbscan": frozenset(("eps", "min_samples", "metric", "algorithm", "leaf_size")),
    "hdbscan": frozenset(
        (
            "min_cluster_size",
            "min_samples",
            "cluster_selection_epsilon",
            "max_cluster_size",
            "metric",
            "alpha",
            "cluster_selection_method",
            "allow_single_cluster",
        )
    ),
    "agglomerative": frozenset(("n_clusters", "affinity", "linkage", "distance_threshold")),
    "spectral": frozenset(("n_clusters", "affinity", "gamma", "n_neighbors", "assign_labels", "random_state")),
    "gaussian_mixture": frozenset(
        ("n_components", "covariance_type", "tol", "reg_covar", "max_iter", "random_state")
    ),
    "mean_shift": frozenset(("bandwidth", "bandwidth_quantile", "bin_seeding", "cluster_all", "max_iter")),
    "optics": frozenset(("min_samples", "max_eps", "metric", "p", "cluster_method", "xi")),
}
"""The methods this server runs and the parameters each takes."""

_BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "n_clusters": (2, 1000),
    "n_components": (1, 1000),
    "max_iter": (1, 10_000),
    "min_cluster_size": (2, 1_000_000),
    "min_samples": (1, 1_000_000),
    "n_neighbors": (1, 1000),
    "bandwidth_quantile": (0, 1),
}
_BLOCKS: Final = ("kmeans_parameters", "dbscan_parameters", "hdbscan_parameters")


def check_parameters(method: str, given: JsonObject, *location: str) -> None:
    """Refuse a parameter the method has not, or out of its bounds. Raises ``ValidationError``. Methods this
    server does not run are not looked at."""
    known = PARAMETERS.get(method)
    if known is None:
        return
    for name, value in given.items():
        if name not in known:
            raise problem(
                f"Unknown parameter of {method}. Accepted: {', '.join(sorted(known))}",
                *(*location, name),
                kind="extra_forbidden",
            )
        low, high = _BOUNDS.get(name, (None, None))
        if low is None or high is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise problem(f"must be a number from {low:g} to {high:g}", *location, name)
        if isinstance(value, float) and name != "bandwidth_quantile":
            raise problem("must be a whole number", *location, name, kind="int_type")


class VectorConfig(ApiRequest):
    """How vectors are clustered. Settings that only change pictures of the result are kept."""

    model_config = ConfigDict(extra="allow")

    feature_uri: str | None = Field(None, min_length=1, max_length=512)
    feature_uris: list[str] | None = Field(None, min_length=1, max_length=20)
    clustering_method: ClusteringMethod
    sample_size: int | None = Field(None, ge=1, le=1_000_000)
    kmeans_parameters: JsonObject | None = None
    dbscan_parameters: JsonObject | None = None
    hdbscan_parameters: JsonObject | None = None
    algorithm_params: JsonObject | None = None
    multi_feature_strategy: str = "concatenate"
    normalize_features: bool = True
    feature_weights: dict[str, float] | None = None
    hierarchical: bool = False
    max_hierarchy_depth: int = Field(3, ge=1, le=5)
    vis_n_components: int = Field(2, ge=2, le=3)
    preprocessing_steps: list[Any] | None = None

    @model_validator(mode="after")
    def _known_parameters(self) -> Self:
        for block in (*_BLOCKS, "algorithm_params"):
            given = getattr(self, block)
            if given is not None:
                setattr(self, block, {name: value for name, value in given.items() if value is not None})
                method = self.clustering_method if block == "algorithm_params" else block.partition("_")[0]
                check_parameters(method, getattr(self, block), block)
        return self


def parameters_of(vector_config: JsonObject) -> JsonObject:
    """The parameters given for the chosen method: its own block, then ``algorithm_params`` over it."""
    block = vector_config.get(f"{vector_config['clustering_method']}_parameters")
    return {**(block or {}), **(vector_config.get("algorithm_params") or {})}
