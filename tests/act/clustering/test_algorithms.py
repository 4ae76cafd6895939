"""What a method gives, held against scikit-learn called directly."""

from typing import Any

import numpy as np
import pytest
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

from schemas.api.clustering import METHODS as SHAPES
from streams.act.clustering.algorithms import METHODS, best_number
from streams.act.clustering.run import NOISE, cluster_points
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from tests.act.clustering.support import blobs, plan, points_of


def test_kmeans_is_scikit_learns_with_the_contracts_defaults() -> None:
    vectors = blobs(clusters=5, spread=0.4)
    direct = KMeans(n_clusters=8, max_iter=300, n_init=10, tol=1e-4, init="k-means++", random_state=42)
    direct.fit(vectors)
    found = cluster_points((plan(), points_of(vectors)))
    assert np.array_equal(found.labels, direct.labels_)
    assert np.array_equal(found.centroids, direct.cluster_centers_)
    assert [cluster.members for cluster in found.clusters] == np.bincount(direct.labels_).tolist()
    assert found.metrics["silhouette_score"] == pytest.approx(silhouette_score(vectors, direct.labels_), abs=1e-6)
    assert found.points == len(vectors)
    own = direct.cluster_centers_[direct.labels_]
    assert found.distances == pytest.approx(np.linalg.norm(vectors - own, axis=1), abs=1e-5)


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
    "auto": ({}, lambda x: KMeans(3, n_init=10, random_state=42).fit_predict(x)),
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
    assert [cluster.id for cluster in found.clusters] == [str(n) for n in range(len(found.clusters))]
    for number, (cluster, centroid) in enumerate(zip(found.clusters, found.centroids, strict=True)):
        members = vectors[found.labels == number]
        assert cluster.members == len(members)
        assert cluster.radius == pytest.approx(np.linalg.norm(members - centroid, axis=1).max(), abs=1e-5)
        assert centroid == pytest.approx(members.mean(axis=0), abs=1e-5)


OTHER_PARAMETERS: list[tuple[str, dict[str, Any], Any]] = [
    (
        "kmeans",
        {"n_clusters": 3, "init": "random", "algorithm": "elkan"},
        lambda x: KMeans(3, n_init=10, init="random", algorithm="elkan", random_state=42).fit_predict(x),
    ),
    (
        "dbscan",
        {"eps": 0.3, "metric": "cosine", "algorithm": "brute"},
        lambda x: DBSCAN(eps=0.3, metric="cosine", algorithm="brute").fit_predict(x),
    ),
    (
        "dbscan",
        {"eps": 0.5, "metric": "manhattan", "algorithm": "ball_tree", "leaf_size": 7},
        lambda x: DBSCAN(eps=0.5, metric="manhattan", algorithm="ball_tree", leaf_size=7).fit_predict(x),
    ),
    (
        "hdbscan",
        {
            "min_cluster_size": 10,
            "min_samples": 3,
            "cluster_selection_method": "leaf",
            "alpha": 1.2,
            "max_cluster_size": 60,
            "cluster_selection_epsilon": 0.01,
        },
        lambda x: HDBSCAN(
            min_cluster_size=10,
            min_samples=3,
            cluster_selection_method="leaf",
            alpha=1.2,
            max_cluster_size=60,
            cluster_selection_epsilon=0.01,
            copy=True,
        ).fit_predict(x),
    ),
    (
        "hdbscan",
        {"metric": "cosine", "allow_single_cluster": True},
        lambda x: HDBSCAN(min_cluster_size=5, metric="cosine", allow_single_cluster=True, copy=True).fit_predict(
            x
        ),
    ),
    (
        "agglomerative",
        {"linkage": "average", "affinity": "cosine", "distance_threshold": 0.4},
        lambda x: AgglomerativeClustering(
            None, linkage="average", metric="cosine", distance_threshold=0.4
        ).fit_predict(x),
    ),
    (
        "spectral",
        {"n_clusters": 3, "affinity": "nearest_neighbors", "n_neighbors": 45},
        lambda x: SpectralClustering(
            3, affinity="nearest_neighbors", n_neighbors=45, assign_labels="cluster_qr", random_state=42
        ).fit_predict(x),
    ),
    (
        "gaussian_mixture",
        {"n_components": 3, "covariance_type": "diag", "reg_covar": 1e-4, "tol": 1e-2},
        lambda x: GaussianMixture(
            3, covariance_type="diag", reg_covar=1e-4, tol=1e-2, random_state=42
        ).fit_predict(x),
    ),
    (
        "mean_shift",
        {"bandwidth": 0.5, "cluster_all": False, "bin_seeding": True},
        lambda x: MeanShift(bandwidth=0.5, cluster_all=False, bin_seeding=True).fit_predict(x),
    ),
    (
        "optics",
        {"cluster_method": "dbscan", "max_eps": 0.3, "metric": "euclidean"},
        lambda x: OPTICS(cluster_method="dbscan", max_eps=0.3, metric="euclidean").fit_predict(x),
    ),
    ("optics", {"xi": 0.1, "metric": "cosine"}, lambda x: OPTICS(xi=0.1, metric="cosine").fit_predict(x)),
]


@pytest.mark.parametrize(("method", "given", "direct"), OTHER_PARAMETERS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_parameters_reach_scikit_learn(method: str, given: dict[str, Any], direct: Any) -> None:
    vectors = blobs()
    found = cluster_points((plan(method, **given), points_of(vectors)))
    expected = direct(vectors)
    assert (found.labels == NOISE).tolist() == (expected < 0).tolist()
    assert len(set(zip(found.labels.tolist(), expected.tolist(), strict=True))) == len(np.unique(expected))


def test_auto_takes_the_number_of_clusters_with_the_best_silhouette() -> None:
    for clusters in (2, 4, 6):
        vectors = blobs(clusters=clusters, dimensions=8)
        scores = {
            number: silhouette_score(vectors, KMeans(number, n_init=3, random_state=42).fit_predict(vectors))
            for number in range(2, 9)
        }
        assert best_number(vectors) == max(scores, key=lambda number: scores[number]) == clusters
    assert best_number(blobs(per_cluster=1)) == 2


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
    found = cluster_points((plan(n_clusters=3), points_of(None, texts, normalize=True)))
    direct = KMeans(3, n_init=10, random_state=42).fit(rows)
    renumbered = dict(zip(found.labels.tolist(), direct.labels_.tolist(), strict=True))
    assert sorted(renumbered.values()) == [0, 1, 2]
    agreeing = np.array([renumbered[label] for label in found.labels.tolist()]) == direct.labels_
    assert agreeing.mean() > 0.999
    assert np.allclose(found.centroids, direct.cluster_centers_[[renumbered[n] for n in range(3)]], atol=1e-3)
    for cluster in found.clusters:
        assert any(set(cluster.keywords[:3]) <= set(topic) for topic in topics)


def test_the_api_accepts_what_the_action_runs() -> None:
    """Methods stand in two tables: the wire's, which has no algorithms, and the action's."""
    assert SHAPES.keys() == METHODS.keys()
