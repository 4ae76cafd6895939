"""What to cluster and how, read from a cluster definition or a cluster trigger's own ``execution_config``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streams.act.clustering.algorithms import method_named, parameters_of
from streams.act.failures import ActionError
from streams.engines.retrieval.errors import FilterError
from streams.engines.retrieval.filters.parse import Filter, parse_filter

MOST_SAMPLED = 1_000_000
_ALIASES = {"hierarchical": "agglomerative", "gmm": "gaussian_mixture"}
_NOT_PARAMETERS = frozenset(
    ("algorithm", "clustering_method", "feature_uri", "feature_uris", "sample_size", "normalize_features")
)


@dataclass(frozen=True, slots=True)
class Plan:
    """One clustering, checked."""

    collection_ids: tuple[str, ...]
    feature_uri: str | None
    """``None``: the built-in embedder over the documents' texts."""
    method: str
    parameters: Mapping[str, Any]
    """Every parameter of the method, by its contract name."""
    normalize: bool
    sample_size: int | None
    """Documents the method is fitted on; ``None``: all it can take."""
    filters: Mapping[str, Any]
    """Which documents take part (contract section 5), checked; empty: all."""

    @property
    def filter(self) -> Filter | None:
        """The filters to test documents with; ``None`` when every document fits."""
        parsed = parse_filter(self.filters)
        return None if parsed.trivial else parsed

    @property
    def fit_rows(self) -> int | None:
        """The most rows to fit on: the sample asked for, or what the method can take if that is less."""
        limits = [limit for limit in (self.sample_size, method_named(self.method).most_rows) if limit is not None]
        return min(limits, default=None)


def plan_of_cluster(cluster: Mapping[str, Any], action: Mapping[str, Any]) -> Plan:
    """The plan of a cluster definition (contract 4.10) run by an ``action_config`` (4.8).

    Raises :class:`ActionError` for what this version does not do: an answer to another question than the one
    asked would be worse than none.
    """
    if (mode := action.get("mode") or "full") != "full":
        raise ActionError(f"clustering in mode {mode} is not available in this version")
    if (kind := cluster.get("cluster_type") or "vector") != "vector":
        raise ActionError(f"clustering by {kind} is not available in this version")
    config = _object(cluster.get("vector_config"), "vector_config")
    method = _method(config.get("clustering_method"), "vector_config.clustering_method")
    given = {
        **_object(config.get(f"{method}_parameters"), f"{method}_parameters"),
        **_object(config.get("algorithm_params"), "algorithm_params"),
    }
    # The trigger's own filters win over the cluster's, field by field.
    filters = {**_object(cluster.get("filters"), "filters"), **_object(action.get("filters"), "filters")}
    return _plan(cluster.get("collection_ids"), config, method, given, filters)


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
    return _plan(execution.get("collection_ids"), config, method, given, filters)


def _plan(
    collections: object,
    config: Mapping[str, Any],
    method: str,
    given: Mapping[str, Any],
    filters: Mapping[str, Any],
) -> Plan:
    if not isinstance(collections, list) or not collections or not all(isinstance(c, str) for c in collections):
        raise ActionError("the clustering names no collections")
    if config.get("hierarchical"):
        raise ActionError("a hierarchy of clusterings is not available in this version")
    steps = [step for step in config.get("preprocessing_steps") or [] if step not in ("none", None)]
    if steps:
        raise ActionError(f"preprocessing by {steps[0]} is not available in this version")
    sample_size = config.get("sample_size")
    if sample_size is not None and not (type(sample_size) is int and 0 < sample_size <= MOST_SAMPLED):
        raise ActionError(f"sample_size must be a whole number from 1 to {MOST_SAMPLED}")
    normalize = config.get("normalize_features")
    return Plan(
        # In one order whatever the definition's, so that the same documents give the same clusters.
        collection_ids=tuple(sorted(set(collections))),
        feature_uri=_feature(config),
        method=method,
        parameters=parameters_of(method, given),
        normalize=True if normalize is None else bool(normalize),
        sample_size=sample_size,
        filters=_filters(filters),
    )


def _filters(filters: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        parse_filter(filters, place="filters")
    except FilterError as error:
        raise ActionError(f"the clustering's filters cannot be read: {error}") from error
    return filters


def _feature(config: Mapping[str, Any]) -> str | None:
    features = list(config.get("feature_uris") or [])
    if not features and config.get("feature_uri"):
        features = [config["feature_uri"]]
    if len(features) > 1:
        raise ActionError("clustering over several features is not available in this version")
    return str(features[0]) if features else None


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
