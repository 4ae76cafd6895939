"""What to cluster and how, read from a cluster definition or a cluster trigger's own ``execution_config``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from schemas.api.base import first_problem
from schemas.api.clustering import read_steps
from streams.act.clustering.algorithms import MOST_NUMBERS, method_named, parameters_of
from streams.act.clustering.preprocessing import most_rows
from streams.act.failures import ActionError
from streams.engines.retrieval.errors import FilterError
from streams.engines.retrieval.filters.parse import Filter, parse_filter

MOST_SAMPLED = 1_000_000
USUALLY_SAMPLED = 100_000
"""Documents fitted on when nobody says how many, for methods that can take more."""
_ALIASES = {"hierarchical": "agglomerative", "gmm": "gaussian_mixture"}
_NOT_PARAMETERS = frozenset(
    ("algorithm", "clustering_method", "feature_uri", "feature_uris", "sample_size", "normalize_features")
)


@dataclass(frozen=True, slots=True)
class Source:
    """Which documents take part."""

    collection_ids: tuple[str, ...]
    filters: Mapping[str, Any]
    """Contract section 5, checked; empty: all."""

    @property
    def filter(self) -> Filter | None:
        """The filters to test documents with; ``None`` when every document fits."""
        parsed = parse_filter(self.filters)
        return None if parsed.trivial else parsed


@dataclass(frozen=True, slots=True)
class Plan:
    """One clustering of vectors, checked."""

    source: Source
    method: str
    parameters: Mapping[str, Any]
    """Every parameter of the method, by its contract name."""
    features: tuple[str, ...] = ()
    """Feature URIs, put side by side; none: the built-in embedder over the documents' texts."""
    weights: tuple[float, ...] = ()
    """One per feature; none: all count alike."""
    normalize: bool = True
    """Whether each feature is brought to length 1 first."""
    sample_size: int | None = None
    """Documents the method is fitted on; ``None``: :data:`USUALLY_SAMPLED`, or what it can take."""
    steps: tuple[Mapping[str, Any], ...] = ()
    """Preprocessing."""
    depth: int = 1
    """Levels of clusters; 1 is flat."""

    def fit_rows(self, dimensions: int) -> int:
        """The most rows to fit on: the sample asked for, or what method and memory can take if that is less."""
        limits = (
            self.sample_size or USUALLY_SAMPLED,
            method_named(self.method).most_rows,
            most_rows(self.steps),
            MOST_NUMBERS // max(dimensions, 1),
        )
        return max(min(limit for limit in limits if limit is not None), 1)


@dataclass(frozen=True, slots=True)
class AttributePlan:
    """One clustering by attributes, checked."""

    source: Source
    attributes: tuple[str, ...]
    hierarchical: bool


def plan_of_cluster(cluster: Mapping[str, Any], action: Mapping[str, Any]) -> Plan | AttributePlan:
    """The plan of a cluster definition (contract 4.10) run by an ``action_config`` (4.8).

    Raises :class:`ActionError` for what this version does not do: an answer to another question than the one
    asked would be worse than none.
    """
    # The trigger's own filters win over the cluster's, field by field.
    filters = {**_object(cluster.get("filters"), "filters"), **_object(action.get("filters"), "filters")}
    source = _source(cluster.get("collection_ids"), filters)
    if (cluster.get("cluster_type") or "vector") == "attribute":
        given = _object(cluster.get("attribute_config"), "attribute_config")
        if not (attributes := given.get("attributes")):
            raise ActionError("attribute_config names no attributes")
        return AttributePlan(source, tuple(attributes), bool(given.get("hierarchical_grouping")))
    config = dict(_object(cluster.get("vector_config"), "vector_config"))
    if action.get("sample_size") is not None:
        config["sample_size"] = action["sample_size"]
    method = _method(config.get("clustering_method"), "vector_config.clustering_method")
    given = {
        **_object(config.get(f"{method}_parameters"), f"{method}_parameters"),
        **_object(config.get("algorithm_params"), "algorithm_params"),
    }
    return _plan(source, config, method, given)


def plan_of_execution(execution: Mapping[str, Any]) -> Plan:
    """The plan of a cluster trigger's ``execution_config`` (contract 4.9). Raises :class:`ActionError`."""
    config = _object(execution.get("config"), "execution_config.config")
    method = _method(
        config.get("algorithm") or config.get("clustering_method"), "execution_config.config.algorithm"
    )
    nested = (f"{method}_parameters", "algorithm_params")
    given = {key: value for key, value in config.items() if key not in _NOT_PARAMETERS and key not in nested}
    for name in nested:
        given |= _object(config.get(name), name)
    filters = _object(execution.get("filters"), "execution_config.filters")
    return _plan(_source(execution.get("collection_ids"), filters), config, method, given)


def _source(collections: object, filters: Mapping[str, Any]) -> Source:
    if not isinstance(collections, list) or not collections or not all(isinstance(c, str) for c in collections):
        raise ActionError("the clustering names no collections")
    try:
        parse_filter(filters, place="filters")
    except FilterError as error:
        raise ActionError(f"the clustering's filters cannot be read: {error}") from error
    # In one order whatever the definition's, so that the same documents give the same clusters.
    return Source(tuple(sorted(set(collections))), filters)


def _plan(source: Source, config: Mapping[str, Any], method: str, given: Mapping[str, Any]) -> Plan:
    sample_size = config.get("sample_size")
    if sample_size is not None and not (type(sample_size) is int and 0 < sample_size <= MOST_SAMPLED):
        raise ActionError(f"sample_size must be a whole number from 1 to {MOST_SAMPLED}")
    if (strategy := config.get("multi_feature_strategy") or "concatenate") == "independent":
        raise ActionError(f"the strategy {strategy} is not available: make one cluster per feature")
    try:
        steps = read_steps(config.get("preprocessing_steps") or [])
    except ValidationError as error:
        raise ActionError(first_problem(error)[1]) from error
    named = config.get("feature_uris") or ([config["feature_uri"]] if config.get("feature_uri") else [])
    weight = _object(config.get("feature_weights"), "feature_weights")
    # What weighs nothing need not be there.
    features = [str(uri) for uri in dict.fromkeys(named) if weight.get(uri, 1.0)]
    normalize = config.get("normalize_features")
    return Plan(
        source,
        method,
        parameters_of(method, given),
        features=tuple(features),
        weights=tuple(float(weight.get(uri, 1.0)) for uri in features) if weight else (),
        normalize=True if normalize is None else bool(normalize),
        sample_size=sample_size,
        steps=tuple(steps),
        depth=int(config.get("max_hierarchy_depth") or 3) if config.get("hierarchical") else 1,
    )


def _method(name: object, where: str) -> str:
    if not isinstance(name, str):
        raise ActionError(f"{where} names no clustering method")
    method = _ALIASES.get(name, name)
    method_named(method)
    return method


def _object(value: object, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ActionError(f"{where} must be an object")
    return value
