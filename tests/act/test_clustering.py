"""The pure part: what a clustering gives, held against scikit-learn called directly and plain recomputation."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.cluster import (
    DBSCAN,
    HDBSCAN,
    OPTICS,
    AgglomerativeClustering,
    KMeans,
    MeanShift,
    SpectralClustering,
    estimate_bandwidth,
)
from sklearn.metrics import silhouette_score
from sklearn.mixture import GaussianMixture

from schemas.api.clustering import PARAMETERS
from streams.act.clustering.algorithms import METHODS, parameters_of
from streams.act.clustering.plan import Plan, plan_of_cluster, plan_of_execution
from streams.act.clustering.points import Points, sample
from streams.act.clustering.run import LEFT_OUT, NOISE, cluster_points
from streams.act.clustering.terms import keywords
from streams.act.failures import ActionError
from streams.engines.retrieval.filters.parse import matches
from streams.engines.retrieval.vectors.embedder import HashingEmbedder

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
    return Points([f"col_a/d{n:06}" for n in range(count)], texts or [""] * count, vectors, normalize)


def plan(method: str = "kmeans", *, normalize: bool = False, sample_size: int | None = None, **given: Any) -> Plan:
    """A plan over one collection."""
    return Plan(("col_a",), None, method, parameters_of(method, given), normalize, sample_size, {})


def test_kmeans_is_scikit_learns_with_the_contracts_defaults() -> None:
    vectors = blobs(clusters=5, spread=0.4)
    direct = KMeans(n_clusters=8, max_iter=300, n_init=10, tol=1e-4, init="k-means++", random_state=42)
    direct.fit(vectors)
    found = cluster_points((plan(), points_of(vectors)))
    assert np.array_equal(found.labels, direct.labels_)
    assert np.array_equal(found.centroids, direct.cluster_centers_)
    assert [cluster.members for cluster in found.clusters] == np.bincount(direct.labels_).tolist()
    assert found.metrics["silhouette_score"] == pytest.approx(silhouette_score(vectors, direct.labels_), abs=1e-6)
    assert found.fitted == found.points == len(vectors)


DIRECT: dict[str, tuple[dict[str, Any], Any]] = {
    "kmeans": ({"n_clusters": 3}, lambda x: KMeans(3, n_init=10, random_state=42).fit_predict(x)),
    "dbscan": ({"eps": 0.3}, lambda x: DBSCAN(eps=0.3).fit_predict(x)),
    "hdbscan": ({"min_cluster_size": 10}, lambda x: HDBSCAN(min_cluster_size=10, copy=True).fit_predict(x)),
    "agglomerative": ({"n_clusters": 3}, lambda x: AgglomerativeClustering(3).fit_predict(x)),
    "spectral": (
        {"n_clusters": 3, "gamma": 2.0},
        lambda x: SpectralClustering(3, gamma=2.0, random_state=42).fit_predict(x),
    ),
    "gaussian_mixture": (
        {"n_components": 3},
        lambda x: GaussianMixture(3, max_iter=100, random_state=42).fit_predict(x),
    ),
    "mean_shift": (
        {},
        lambda x: MeanShift(bandwidth=estimate_bandwidth(x, quantile=0.1, random_state=42)).fit_predict(x),
    ),
    "optics": ({"min_samples": 8}, lambda x: OPTICS(min_samples=8).fit_predict(x)),
}


def test_every_method_is_compared() -> None:
    assert DIRECT.keys() == METHODS.keys()


@pytest.mark.parametrize("method", DIRECT)
def test_a_method_groups_as_scikit_learn_does(method: str) -> None:
    given, direct = DIRECT[method]
    vectors = blobs()
    found = cluster_points((plan(method, **given), points_of(vectors)))
    expected = direct(vectors)
    assert (found.labels == NOISE).tolist() == (expected < 0).tolist()
    # The same groups; ours are numbered without gaps in the same order.
    pairs = set(zip(found.labels.tolist(), expected.tolist(), strict=True))
    assert len(pairs) == len(np.unique(expected))
    assert [cluster.number for cluster in found.clusters] == list(range(len(found.clusters)))
    for cluster, centroid in zip(found.clusters, found.centroids, strict=True):
        members = vectors[found.labels == cluster.number]
        assert cluster.members == len(members)
        assert centroid == pytest.approx(members.mean(axis=0), abs=1e-5)


def test_the_sample_depends_on_ids_alone() -> None:
    names = [f"col/{number}" for number in range(1_000)]
    drawn, rest = sample(names, 100)
    assert len(drawn) == 100
    assert sorted([*drawn, *rest]) == list(range(1_000))
    backwards, _ = sample(names[::-1], 100)
    assert {names[::-1][index] for index in backwards} == {names[index] for index in drawn}
    more, _ = sample([*names, "col/new"], 100)
    assert len(set(drawn.tolist()) - set(more.tolist())) <= 1
    everything, none = sample(names, 1_000)
    assert len(everything) == 1_000
    assert len(none) == 0


def test_documents_outside_the_sample_go_to_the_nearest_centroid() -> None:
    vectors = blobs(per_cluster=3_000, spread=0.5)
    points = points_of(vectors)
    found = cluster_points((plan(n_clusters=3, sample_size=500), points))
    assert found.fitted == 500
    drawn, _ = sample(points.ids, 500)
    direct = KMeans(3, n_init=10, random_state=42).fit(vectors[drawn])
    assert np.array_equal(found.centroids, direct.cluster_centers_)
    distances = np.linalg.norm(
        vectors[:, None].astype(float) - direct.cluster_centers_[None].astype(float), axis=2
    )
    nearest = distances.argmin(axis=1)
    # Points on the border between two centroids may fall either way in float32.
    clear = np.diff(np.sort(distances, axis=1)[:, :2], axis=1).ravel() > 1e-4
    assert clear.mean() > 0.99
    assert np.array_equal(found.labels[clear], nearest[clear])
    assert sum(cluster.members for cluster in found.clusters) == len(vectors)


def test_a_method_with_a_limit_is_fitted_on_no_more() -> None:
    assert plan("spectral").fit_rows == METHODS["spectral"].most_rows
    assert plan("spectral", sample_size=10).fit_rows == 10
    assert plan("spectral", sample_size=1_000_000).fit_rows == METHODS["spectral"].most_rows
    assert plan("kmeans").fit_rows is None


def test_texts_are_embedded_and_wordless_ones_left_out() -> None:
    texts = ["ebola outbreak in liberia", "! ?", "running and yoga", "", "ebola virus liberia", "yoga and running"]
    found = cluster_points((plan(n_clusters=2, normalize=True), points_of(None, texts)))
    assert found.labels[[1, 3]].tolist() == [LEFT_OUT, LEFT_OUT]
    assert found.labels[0] == found.labels[4] != found.labels[2] == found.labels[5]
    assert found.points == 4
    rows = HashingEmbedder().embed([texts[index] for index in (0, 2, 4, 5)])
    direct = KMeans(2, n_init=10, random_state=42).fit(rows)
    assert np.allclose(found.centroids, direct.cluster_centers_, atol=1e-6)


def test_the_title_is_the_member_closest_to_the_centroid() -> None:
    vectors = blobs(per_cluster=30, spread=0.3)
    texts = [f"text {number}" for number in range(len(vectors))]
    found = cluster_points((plan(n_clusters=3), points_of(vectors, texts)))
    for cluster, centroid in zip(found.clusters, found.centroids, strict=True):
        members = np.flatnonzero(found.labels == cluster.number)
        distances = np.linalg.norm(vectors[members] - centroid, axis=1)
        assert cluster.title == f"text {members[distances.argmin()]}"
        cosines = [
            float(row @ centroid / (np.linalg.norm(row) * np.linalg.norm(centroid))) for row in vectors[members]
        ]
        assert cluster.mean_cosine_similarity == pytest.approx(np.mean(cosines), abs=1e-5)


def test_normalising_looks_at_directions_only() -> None:
    directions = blobs(per_cluster=20)
    lengths = np.random.default_rng(3).uniform(0.1, 100, size=(len(directions), 1)).astype(np.float32)
    stretched = points_of(directions * lengths, normalize=True)
    assert stretched.vectors is not None
    before = stretched.vectors.copy()
    one = cluster_points((plan(n_clusters=3, normalize=True), stretched))
    other = cluster_points((plan(n_clusters=3, normalize=True), points_of(directions, normalize=True)))
    assert np.array_equal(one.labels, other.labels)
    assert np.array_equal(stretched.vectors, before)


def test_fewer_documents_than_clusters_is_said() -> None:
    with pytest.raises(ActionError, match="3 of 3 documents could be clustered, 8 clusters were asked for"):
        cluster_points((plan(), points_of(blobs(per_cluster=1))))
    with pytest.raises(ActionError, match="0 of 2 documents could be clustered"):
        cluster_points((plan("dbscan"), points_of(None, ["", "?"])))


def test_noise_alone_is_a_result_without_clusters() -> None:
    found = cluster_points((plan("dbscan", eps=1e-6), points_of(blobs())))
    assert found.clusters == []
    assert found.metrics == {"noise_ratio": 1.0}
    assert set(found.labels.tolist()) == {NOISE}


WORDS = st.sampled_from(["fever", "vaccine", "yoga", "liberia", "heart", "the", "http://t.co/abc"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(WORDS, max_size=6), st.integers(-1, 2)), min_size=1, max_size=20))
def test_keywords_are_the_weightiest_terms(documents: list[tuple[list[str], int]]) -> None:
    texts = [" ".join(words) for words, _ in documents]
    labels = np.array([label for _, label in documents], dtype=np.int32)
    counts = [Counter[str]() for _ in range(3)]
    for words, label in documents:
        if label >= 0:
            counts[label].update(word for word in words if word != "the" and not word.startswith("http"))
    total: Counter[str] = sum(counts, Counter())
    average = sum(total.values()) / 3
    found = keywords(texts, labels, 3)
    for cluster in range(3):
        weights = {word: tf * math.log1p(average / total[word]) for word, tf in counts[cluster].items()}
        assert sorted(found[cluster]) == sorted(weights)
        told = [weights[word] for word in found[cluster]]
        assert told == pytest.approx(sorted(told, reverse=True), rel=1e-5)


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
    assert read.collection_ids == ("col_a", "col_b")
    assert read.parameters == {
        "n_clusters": 20,
        "max_iter": 300,
        "n_init": 10,
        "tol": 1e-4,
        "init": "k-means++",
        "random_state": 42,
        "algorithm": "lloyd",
    }
    assert (read.normalize, read.sample_size, read.feature_uri, read.filter) == (True, 5_000, None, None)


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
    assert merged.filters == plain.filters == {"source": "cnn", "lang": "en"}
    assert merged.filter is not None
    assert matches(merged.filter, {"source": "cnn", "lang": "en"})
    assert not matches(merged.filter, {"source": "bbc", "lang": "en"})


@pytest.mark.parametrize(
    ("body", "action", "words"),
    [
        (cluster_body(clustering_method="leiden"), {}, "leiden is not available"),
        (cluster_body(clustering_method=None), {}, "names no clustering method"),
        (cluster_body(kmeans_parameters={"eps": 1}), {}, "kmeans has no parameter eps"),
        (cluster_body(kmeans_parameters=[1]), {}, "kmeans_parameters must be an object"),
        (cluster_body(feature_uris=["a", "b"]), {}, "several features"),
        (cluster_body(hierarchical=True), {}, "hierarchy"),
        (cluster_body(preprocessing_steps=["umap"]), {}, "preprocessing by umap"),
        (cluster_body(sample_size=0), {}, "sample_size must be"),
        (cluster_body(), {"mode": "assign"}, "mode assign"),
        (cluster_body(), {"filters": {"AND": [None]}}, "filters cannot be read"),
        ({**cluster_body(), "cluster_type": "attribute"}, {}, "clustering by attribute"),
        ({**cluster_body(), "collection_ids": []}, {}, "names no collections"),
    ],
)
def test_what_is_not_done_is_refused_in_words(body: dict[str, Any], action: dict[str, Any], words: str) -> None:
    with pytest.raises(ActionError, match=words):
        plan_of_cluster(body, action)


def test_many_sparse_rows_are_grouped_as_dense_ones_are() -> None:
    random = np.random.default_rng(5)
    topics = [
        ["ebola", "liberia", "outbreak", "virus"],
        ["yoga", "running", "fitness", "gym"],
        ["flu", "shot", "cdc"],
    ]
    texts = [" ".join([*random.choice(topics[n % 3], 2), f"word{random.integers(50)}"]) for n in range(4_500)]
    rows = HashingEmbedder().embed(texts)
    assert rows.size > 4_000_000
    assert np.count_nonzero(rows) < 0.01 * rows.size
    found = cluster_points((plan(n_clusters=3, normalize=True), points_of(None, texts)))
    direct = KMeans(3, n_init=10, random_state=42).fit(rows)
    renumbered = dict(zip(found.labels.tolist(), direct.labels_.tolist(), strict=True))
    assert sorted(renumbered.values()) == [0, 1, 2]
    agreeing = np.array([renumbered[label] for label in found.labels.tolist()]) == direct.labels_
    assert agreeing.mean() > 0.999
    assert np.allclose(found.centroids, direct.cluster_centers_[[renumbered[n] for n in range(3)]], atol=1e-3)
    for cluster in found.clusters:
        assert any(set(cluster.keywords[:3]) <= set(topic) for topic in topics)


def test_the_api_accepts_what_the_action_runs() -> None:
    """Methods and their parameters stand in two tables: the wire's, which has no algorithms, and the action's."""
    assert {name: set(keys) for name, keys in PARAMETERS.items()} == {
        name: set(method.defaults) for name, method in METHODS.items()
    }
