"""How vectors are clustered: methods, their parameters with bounds and defaults (contract 4.10)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal, Self, get_args

from pydantic import ConfigDict, Field, WithJsonSchema, model_validator

from schemas.api.base import CONFLICT, SHAPE, ApiRequest, JsonObject, having, problem, read_part

Whole = Annotated[int, Field(strict=True)]
Clusters = Annotated[int, Field(strict=True, ge=2, le=1_000)]
Iterations = Annotated[int, Field(strict=True, ge=1, le=10_000)]
Neighbours = Annotated[int, Field(strict=True, ge=2, le=200)]
Seed = Annotated[int, Field(strict=True, ge=0, le=2**32 - 1)]
Metric = Literal["euclidean", "l2", "cosine", "manhattan", "cityblock", "l1", "chebyshev", "minkowski"]
Features = Annotated[list[Annotated[str, Field(min_length=1, max_length=512)]], Field(min_length=1, max_length=20)]


class Parameters(ApiRequest):
    """Parameters of one method, by their contract names, with the contract's defaults."""

    beyond: ClassVar[Mapping[str, Any]] = {}
    """What the SDK's models send besides, with its defaults: left out at these values, refused at any other."""

    @model_validator(mode="before")
    @classmethod
    def _without_defaults_of_the_sdk(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        return cls.without_defaults(raw)

    @classmethod
    def without_defaults(cls, raw: JsonObject) -> JsonObject:
        """``raw`` without what the SDK fills in besides."""
        return {name: value for name, value in raw.items() if name not in cls.beyond or value != cls.beyond[name]}


class KMeans(Parameters):
    """``sklearn.cluster.KMeans``."""

    beyond = MappingProxyType({"verbose": 0, "copy_x": True})

    n_clusters: Clusters = 8
    max_iter: Iterations = 300
    n_init: Annotated[int, Field(strict=True, ge=1, le=100)] = 10
    tol: float = Field(1e-4, ge=0)
    init: Literal["k-means++", "random"] = "k-means++"
    random_state: Seed = 42
    algorithm: Literal["lloyd", "elkan"] = "lloyd"


class Dbscan(Parameters):
    """``sklearn.cluster.DBSCAN``."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"algorithm": {"enum": ["auto", "brute", None]}}},
                {"properties": {"metric": {"not": {"const": "cosine"}}}},
            ]
        }
    )

    beyond = MappingProxyType({"p": 2, "n_jobs": 1})

    eps: float = Field(0.5, gt=0)
    min_samples: Whole = Field(5, ge=1, le=1_000_000)
    metric: Metric = "euclidean"
    algorithm: Literal["auto", "ball_tree", "kd_tree", "brute"] = "auto"
    leaf_size: Whole = Field(30, ge=1, le=10_000)

    @model_validator(mode="after")
    def _trees_have_metrics(self) -> Self:
        if self.metric == "cosine" and self.algorithm in ("ball_tree", "kd_tree"):
            raise problem(f"{self.algorithm} has no cosine metric; use auto or brute", "algorithm")
        return self


class Hdbscan(Parameters):
    """``sklearn.cluster.HDBSCAN``."""

    beyond = MappingProxyType({"prediction_data": False, "match_reference_implementation": False})

    min_cluster_size: Whole = Field(5, ge=2, le=1_000_000)
    min_samples: Whole | None = Field(None, ge=1, le=1_000_000)
    cluster_selection_epsilon: float = Field(0.0, ge=0)
    max_cluster_size: Whole | None = Field(None, ge=2, le=1_000_000)
    metric: Metric = "euclidean"
    alpha: float = Field(1.0, gt=0)
    cluster_selection_method: Literal["eom", "leaf"] = "eom"
    allow_single_cluster: bool = False


class Agglomerative(Parameters):
    """``sklearn.cluster.AgglomerativeClustering``; ``affinity`` is its metric."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"affinity": {"enum": ["euclidean", None]}}},
                having("linkage", linkage={"enum": ["complete", "average", "single"]}),
            ]
        }
    )

    beyond = MappingProxyType({"compute_full_tree": "auto", "compute_distances": False})

    n_clusters: Clusters = 2
    affinity: Literal["euclidean", "l1", "l2", "manhattan", "cosine"] = "euclidean"
    linkage: Literal["ward", "complete", "average", "single"] = "ward"
    distance_threshold: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _ward_is_euclidean(self) -> Self:
        if self.linkage == "ward" and self.affinity != "euclidean":
            raise problem("linkage 'ward' works with the affinity 'euclidean' only", "affinity")
        return self


class Spectral(Parameters):
    """``sklearn.cluster.SpectralClustering``."""

    beyond = MappingProxyType(
        {"n_init": 10, "eigen_tol": 0.0, "degree": 3, "coef0": 1, "n_jobs": 1, "verbose": False}
    )

    n_clusters: Clusters = 8
    affinity: Literal["rbf", "nearest_neighbors", "laplacian"] = "rbf"
    gamma: float = Field(1.0, gt=0)
    n_neighbors: Neighbours = 10
    assign_labels: Literal["kmeans", "discretize", "cluster_qr"] = "kmeans"
    random_state: Seed = 42


class GaussianMixture(Parameters):
    """``sklearn.mixture.GaussianMixture``."""

    beyond = MappingProxyType(
        {"n_init": 1, "init_params": "kmeans", "warm_start": False, "verbose": 0, "verbose_interval": 10}
    )

    n_components: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 1
    covariance_type: Literal["full", "tied", "diag", "spherical"] = "full"
    tol: float = Field(1e-3, ge=0)
    reg_covar: float = Field(1e-6, ge=0)
    max_iter: Iterations = 100
    random_state: Seed = 42


class MeanShift(Parameters):
    """``sklearn.cluster.MeanShift``; without a bandwidth it is estimated at the quantile."""

    beyond = MappingProxyType({"min_bin_freq": 1, "n_jobs": 1})

    bandwidth: float | None = Field(None, gt=0)
    bandwidth_quantile: float = Field(0.1, gt=0, le=1)
    bin_seeding: bool = False
    cluster_all: bool = True
    max_iter: Iterations = 300


class Optics(Parameters):
    """``sklearn.cluster.OPTICS``."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"properties": {"cluster_method": {"enum": ["xi", None]}}}, having("max_eps")]
        }
    )

    beyond = MappingProxyType({"predecessor_correction": True, "algorithm": "auto", "leaf_size": 30, "n_jobs": 1})

    min_samples: Whole = Field(5, ge=2, le=1_000_000)
    max_eps: float | None = Field(None, gt=0)
    metric: Metric = "minkowski"
    p: float = Field(2, ge=1)
    cluster_method: Literal["xi", "dbscan"] = "xi"
    xi: float = Field(0.05, gt=0, lt=1)

    @model_validator(mode="after")
    def _dbscan_has_a_radius(self) -> Self:
        if self.cluster_method == "dbscan" and self.max_eps is None:
            raise problem(
                "cluster_method 'dbscan' needs max_eps, the radius it cuts at", "max_eps", kind="missing"
            )
        return self


class Auto(Parameters):
    """k-means with the number of clusters that has the best silhouette."""


METHODS: Final[dict[str, type[Parameters]]] = {
    "kmeans": KMeans,
    "dbscan": Dbscan,
    "hdbscan": Hdbscan,
    "agglomerative": Agglomerative,
    "spectral": Spectral,
    "gaussian_mixture": GaussianMixture,
    "mean_shift": MeanShift,
    "optics": Optics,
    "auto": Auto,
}
"""The methods this server runs and the parameters each takes."""

MISSING_METHODS: Final[dict[str, str]] = {
    "leiden": "it needs the igraph and leidenalg libraries, which are not part of this server",
    "evoc": "it needs the evoc library, which is not part of this server",
    "attribute_based": "it groups no vectors; use cluster_type 'attribute' with an attribute_config",
}
"""Methods of the contract that are refused, and why."""

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


def checked_parameters(method: str, given: JsonObject, *location: str) -> JsonObject:
    """What was given, without nulls and what the SDK fills in besides. Refuses a parameter the method has not, or
    out of its bounds: raises ``ValidationError`` with the place under ``location``. Methods this server does not
    run are not looked at."""
    said = {name: value for name, value in given.items() if value is not None}
    if (shape := METHODS.get(method)) is None:
        return said
    read_part(shape, said, *location)
    return shape.without_defaults(said)


def filled_parameters(method: str, given: JsonObject) -> JsonObject:
    """Every parameter of a method: ``given`` over its defaults. Raises ``ValidationError``."""
    return METHODS[method].model_validate(given).model_dump()


class Whitening(ApiRequest):
    """Principal components scaled to unit variance."""

    method: Literal["whitening"] = "whitening"


class Tsne(ApiRequest):
    """t-SNE to two or three dimensions."""

    method: Literal["tsne"] = "tsne"
    n_components: Whole = Field(2, ge=2, le=3)
    perplexity: float = Field(30.0, ge=1, le=1_000)
    learning_rate: float = Field(200.0, gt=0)
    random_state: Seed = 42


_STEPS: Final[dict[str, type[ApiRequest]]] = {"whitening": Whitening, "tsne": Tsne}


STEPS: Final = (Whitening, Tsne)


def read_steps(raw: list[Any]) -> list[JsonObject]:
    """Preprocessing steps: names, or objects with a ``method``; ``none`` is left out. Raises
    ``ValidationError``."""
    steps = []
    for place, item in enumerate(raw):
        step = {"method": item} if isinstance(item, str) else item
        name = step.get("method") if isinstance(step, dict) else None
        if name == "none":
            continue
        if name == "umap":
            message = "umap needs the umap-learn library, which is not part of this server; use whitening or tsne"
            raise problem(message, "preprocessing_steps", place, kind="not_available")
        if not isinstance(name, str) or name not in _STEPS:
            raise problem("must be whitening, tsne or none", "preprocessing_steps", place)
        steps.append(read_part(_STEPS[name], step, "preprocessing_steps", place).model_dump())
    return steps


_BLOCKS: Final = ("kmeans_parameters", "dbscan_parameters", "hdbscan_parameters")


_STEP: Final[JsonObject] = {
    "anyOf": [
        {"enum": ["whitening", "tsne", "none"]},
        *({"allOf": [{SHAPE: step.__name__}, having("method")]} for step in _STEPS.values()),
    ]
}


def parameters_shape(method: str) -> JsonObject:
    """The schema of a method's parameters, or of none."""
    shape = METHODS.get(method)
    return (
        {"type": ["object", "null"]} if shape is None else {"anyOf": [{SHAPE: shape.__name__}, {"type": "null"}]}
    )


class VectorConfig(ApiRequest):
    """How vectors are clustered. Settings that only change pictures of the result are kept."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "allOf": [
                {
                    "anyOf": [
                        {
                            "properties": {
                                "clustering_method": {"const": method},
                                "algorithm_params": parameters_shape(method),
                            }
                        }
                        for method in get_args(ClusteringMethod)
                    ]
                },
                {
                    "anyOf": [
                        {"properties": {"multi_feature_strategy": {"enum": ["concatenate", "independent", None]}}},
                        having("feature_weights"),
                    ]
                },
                {"properties": {block: parameters_shape(block.partition("_")[0]) for block in _BLOCKS}},
            ]
        },
    )

    feature_uri: str | None = Field(None, min_length=1, max_length=512)
    feature_uris: Features | None = None
    clustering_method: ClusteringMethod
    sample_size: Whole | None = Field(None, ge=1, le=1_000_000)
    kmeans_parameters: JsonObject | None = None
    dbscan_parameters: JsonObject | None = None
    hdbscan_parameters: JsonObject | None = None
    algorithm_params: JsonObject | None = None
    multi_feature_strategy: Literal["concatenate", "independent", "weighted"] = "concatenate"
    normalize_features: bool = True
    feature_weights: dict[str, Annotated[float, Field(ge=0, le=1_000)]] | None = None
    hierarchical: bool = False
    max_hierarchy_depth: Whole = Field(3, ge=1, le=5)
    vis_n_components: Whole = Field(2, ge=2, le=3)
    preprocessing_steps: list[Annotated[Any, WithJsonSchema(_STEP)]] | None = None

    @model_validator(mode="after")
    def _known_parameters(self) -> Self:
        for block in (*_BLOCKS, "algorithm_params"):
            given = getattr(self, block)
            if given is not None:
                method = self.clustering_method if block == "algorithm_params" else block.partition("_")[0]
                setattr(self, block, checked_parameters(method, given, block))
        read_steps(self.preprocessing_steps or [])
        return self

    @model_validator(mode="after")
    def _weights_are_of_features(self) -> Self:
        if self.feature_weights is None:
            if self.multi_feature_strategy == "weighted":
                raise problem("the strategy 'weighted' needs feature_weights", "feature_weights", kind="missing")
            return self
        known = self.features
        for name in self.feature_weights:
            if name not in known:
                raise problem(
                    f"is not among the features: {', '.join(known) or 'none'}",
                    "feature_weights",
                    name,
                    kind=CONFLICT,
                )
        if not any(self.feature_weights.get(name, 1.0) for name in known):
            raise problem("leave at least one feature a weight", "feature_weights", kind=CONFLICT)
        return self

    @property
    def features(self) -> list[str]:
        """The features asked for; none: the built-in embedder over the documents' texts."""
        return list(dict.fromkeys(self.feature_uris or ([self.feature_uri] if self.feature_uri else [])))


def parameters_of(vector_config: JsonObject) -> JsonObject:
    """The parameters given for the chosen method: its own block, then ``algorithm_params`` over it."""
    block = vector_config.get(f"{vector_config['clustering_method']}_parameters")
    return {**(block or {}), **(vector_config.get("algorithm_params") or {})}
