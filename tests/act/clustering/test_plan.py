"""What is clustered, and how, as definitions say it."""

from typing import Any

import pytest

from streams.act.clustering.plan import AttributePlan, Plan, Source, plan_of_cluster, plan_of_execution
from streams.act.failures import ActionError
from streams.engines.retrieval.filters.parse import matches


def cluster_body(**config: Any) -> dict[str, Any]:
    """A cluster definition."""
    return {
        "cluster_id": "clust_1",
        "collection_ids": ["col_b", "col_a", "col_b"],
        "cluster_type": "vector",
        "vector_config": {"clustering_method": "kmeans", **config},
    }


def test_a_cluster_definition_is_read_with_its_defaults() -> None:
    body = cluster_body(kmeans_parameters={"n_clusters": 20, "tol": None}, sample_size=5_000)
    read = plan_of_cluster(body, {"cluster_id": "clust_1"})
    assert isinstance(read, Plan)
    assert read.source.collection_ids == ("col_a", "col_b")
    assert read.parameters == {
        "n_clusters": 20,
        "max_iter": 300,
        "n_init": 10,
        "tol": 1e-4,
        "init": "k-means++",
        "random_state": 42,
        "algorithm": "lloyd",
    }
    assert (read.normalize, read.sample_size, read.features, read.source.filter) == (True, 5_000, (), None)
    assert (read.depth, read.steps, read.weights) == (1, (), ())
    once = plan_of_cluster(body, {"cluster_id": "clust_1", "sample_size": 70})
    assert isinstance(once, Plan)
    assert once.sample_size == 70


def test_every_setting_of_a_definition_is_read() -> None:
    read = plan_of_cluster(
        cluster_body(
            feature_uris=["mixpeek://a@v1/x", "mixpeek://b@v1/y", "mixpeek://c@v1/z"],
            feature_weights={"mixpeek://b@v1/y": 0.5, "mixpeek://c@v1/z": 0},
            hierarchical=True,
            max_hierarchy_depth=4,
            preprocessing_steps=["whitening", {"method": "none"}],
            normalize_features=False,
        ),
        {},
    )
    assert isinstance(read, Plan)
    assert (read.features, read.weights) == (("mixpeek://a@v1/x", "mixpeek://b@v1/y"), (1.0, 0.5))
    assert (read.depth, read.normalize, read.steps) == (4, False, ({"method": "whitening"},))
    attributes = {"attributes": ["a", "b.c"], "hierarchical_grouping": True}
    body = {**cluster_body(), "cluster_type": "attribute", "attribute_config": attributes}
    assert plan_of_cluster(body, {}) == AttributePlan(Source(("col_a", "col_b"), {}), ("a", "b.c"), True)


def test_an_execution_config_is_read_with_its_defaults() -> None:
    read = plan_of_execution(
        {
            "collection_ids": ["col_a"],
            "config": {"algorithm": "hierarchical", "n_clusters": 4, "min_samples": None},
        }
    )
    assert read.method == "agglomerative"
    assert read.parameters["n_clusters"] == 4
    nested = {"algorithm": "hdbscan", "algorithm_params": {"min_cluster_size": 9}, "normalize_features": False}
    read = plan_of_execution({"collection_ids": ["col_a"], "config": nested})
    assert read.parameters["min_cluster_size"] == 9
    assert read.normalize is False


def test_the_triggers_filters_win_over_the_clusters() -> None:
    body = {**cluster_body(), "filters": {"source": "bbc", "lang": "en"}}
    merged = plan_of_cluster(body, {"filters": {"source": "cnn"}})
    plain = plan_of_cluster(cluster_body(), {"filters": {"source": "cnn", "lang": "en"}})
    assert merged.source.filters == plain.source.filters == {"source": "cnn", "lang": "en"}
    wanted = merged.source.filter
    assert wanted is not None
    assert matches(wanted, {"source": "cnn", "lang": "en"})
    assert not matches(wanted, {"source": "bbc", "lang": "en"})


@pytest.mark.parametrize(
    ("body", "action", "words"),
    [
        (cluster_body(clustering_method="leiden"), {}, "leiden is not available: it needs the igraph"),
        (cluster_body(clustering_method="astrology"), {}, "astrology is not available: there are kmeans"),
        (cluster_body(kmeans_parameters={"n_clusters": 1}), {}, "parameter n_clusters of kmeans: .* 2"),
        (cluster_body(clustering_method=None), {}, "names no clustering method"),
        (cluster_body(kmeans_parameters={"eps": 1}), {}, "kmeans has no parameter eps"),
        (cluster_body(kmeans_parameters=[1]), {}, "kmeans_parameters must be an object"),
        (cluster_body(multi_feature_strategy="independent"), {}, "one cluster per feature"),
        (cluster_body(preprocessing_steps=["umap"]), {}, "umap needs the umap-learn library"),
        (cluster_body(sample_size=0), {}, "sample_size must be"),
        (cluster_body(), {"filters": {"AND": [None]}}, "filters cannot be read"),
        ({**cluster_body(), "cluster_type": "attribute"}, {}, "names no attributes"),
        ({**cluster_body(), "collection_ids": []}, {}, "names no collections"),
    ],
)
def test_what_is_not_done_is_refused_in_words(body: dict[str, Any], action: dict[str, Any], words: str) -> None:
    with pytest.raises(ActionError, match=words):
        plan_of_cluster(body, action)
