"""The pure part: what a clustering gives, held against scikit-learn called directly and plain recomputation."""

import json
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
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from sklearn.mixture import GaussianMixture

from schemas.api.clustering import METHODS as SHAPES
from schemas.api.clustering import read_steps
from streams.act.clustering.algorithms import METHODS, MOST_NUMBERS, best_number, parameters_of
from streams.act.clustering.assign import Target, assign_points
from streams.act.clustering.attributes import MOST_GROUPS, Grouping, values_of
from streams.act.clustering.plan import AttributePlan, Plan, Source, plan_of_cluster, plan_of_execution
from streams.act.clustering.points import Draw, Points
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
    return Points([f"col_a/d{n:06}" for n in range(count)], texts or [""] * count, [vectors], normalize)


SOURCE = Source(("col_a",), {})


def plan(method: str = "kmeans", *, sample_size: int | None = None, depth: int = 1, **given: Any) -> Plan:
    """A plan over one collection."""
    return Plan(SOURCE, method, parameters_of(method, given), sample_size=sample_size, depth=depth)


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


def test_the_sample_depends_on_names_alone() -> None:
    names = [("col", str(number)) for number in range(1_000)]

    def drawn(order: list[tuple[str, str]], size: int) -> tuple[list[tuple[str, str]], int]:
        draw = Draw(size)
        for name in order:
            draw.add(name)
        return draw.names(), draw.seen

    one, seen = drawn(names, 100)
    assert (len(one), seen, one) == (100, 1_000, sorted(one))
    assert drawn(names[::-1], 100)[0] == one
    assert len(set(one) - set(drawn([*names, ("col", "new")], 100)[0])) <= 1
    assert drawn(names, 1_000)[0] == sorted(names)
    assert drawn([], 5) == ([], 0)
    # Evenly spread: about as many of one half as of the other.
    assert 30 <= sum(int(number) < 500 for _, number in one) <= 70


def test_documents_outside_the_sample_go_to_the_nearest_centroid() -> None:
    vectors = blobs(per_cluster=3_000, spread=0.5)
    direct = KMeans(3, n_init=10, random_state=42).fit(vectors[:500])
    target = Target(direct.cluster_centers_, np.array([4, 0, 2], dtype=np.int32))
    found = assign_points((target, points_of(vectors)))
    gaps = vectors[:, None].astype(float) - direct.cluster_centers_[None].astype(float)
    distances = np.linalg.norm(gaps, axis=2)
    nearest = distances.argmin(axis=1)
    # Points on the border between two centroids may fall either way in float32.
    clear = np.diff(np.sort(distances, axis=1)[:, :2], axis=1).ravel() > 1e-4
    assert clear.mean() > 0.99
    assert np.array_equal(found.labels[clear], target.numbers[nearest][clear])
    assert found.distances[clear] == pytest.approx(distances.min(axis=1)[clear], abs=1e-4)


def test_documents_beyond_every_radius_are_noise() -> None:
    vectors = np.array([[0, 0.9], [0, 2.1], [10, 0], [5, 5]], dtype=np.float32)
    centroids = np.array([[0, 1], [10, 0]], dtype=np.float32)
    target = Target(centroids, np.array([0, 1], dtype=np.int32), radii=np.array([1, 0.5], dtype=np.float32))
    found = assign_points((target, points_of(vectors)))
    assert found.labels.tolist() == [0, NOISE, 1, NOISE]
    assert np.isnan(found.distances).tolist() == [False, True, False, True]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.integers(1, 5))
def test_under_the_threshold_there_is_no_cluster(seed: int, threshold: float, clusters: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(20, 3)).astype(np.float32)
    centroids = random.normal(size=(clusters, 3)).astype(np.float32)
    target = Target(centroids, np.arange(clusters, dtype=np.int32), threshold=threshold)
    found = assign_points((target, points_of(vectors, normalize=True)))
    for row, label in zip(vectors.astype(float), found.labels.tolist(), strict=True):
        cosines = centroids @ row / (np.linalg.norm(centroids, axis=1) * np.linalg.norm(row))
        best = float(cosines.max())
        if abs(best - threshold) > 1e-5 and np.sum(cosines > best - 1e-5) == 1:
            assert label == (int(cosines.argmax()) if best >= threshold else NOISE)


def test_other_features_than_the_clusters_are_refused() -> None:
    target = Target(np.eye(3, dtype=np.float32), np.arange(3, dtype=np.int32))
    with pytest.raises(ActionError, match="the documents have 6 dimensions, the centroids 3"):
        assign_points((target, points_of(blobs())))


def test_a_method_is_fitted_on_what_it_and_the_memory_can_take() -> None:
    assert plan("spectral").fit_rows(10) == METHODS["spectral"].most_rows == 5_000
    assert plan("spectral", sample_size=10).fit_rows(10) == 10
    assert plan("spectral", sample_size=1_000_000).fit_rows(10) == 5_000
    assert plan("kmeans").fit_rows(10) == 100_000
    assert plan("kmeans", sample_size=1_000_000).fit_rows(10) == 1_000_000
    assert plan("kmeans").fit_rows(1_024) == MOST_NUMBERS // 1_024 == 97_656
    tsne = Plan(SOURCE, "kmeans", parameters_of("kmeans", {}), steps=({"method": "tsne"},))
    assert tsne.fit_rows(10) == 5_000


def test_covariances_over_the_memory_limit_are_refused() -> None:
    vectors = np.random.default_rng(1).normal(size=(40, 2_600)).astype(np.float32)
    with pytest.raises(ActionError, match=r"20 full covariances of 2600 dimensions need 1\.0 GB"):
        cluster_points((plan("gaussian_mixture", n_components=20), points_of(vectors)))


def test_features_are_weighed_and_put_side_by_side() -> None:
    random = np.random.default_rng(11)
    one, other = (random.normal(size=(60, size)).astype(np.float32) for size in (4, 7))
    points = Points([str(n) for n in range(60)], [""] * 60, [one, other], True, [1.0, 0.25])
    units = [block / np.linalg.norm(block, axis=1)[:, None] for block in (one, other)]
    rows = np.concatenate([units[0], units[1] * np.float32(0.25)], axis=1)
    assert points.rows()[1] == pytest.approx(rows, abs=1e-6)
    found = cluster_points((plan(n_clusters=3), points))
    direct = KMeans(3, n_init=10, random_state=42).fit(points.rows()[1])
    assert np.array_equal(found.labels, direct.labels_)
    texts = ["ebola in liberia"] * 59 + ["!"]
    assert len(Points(points.ids, texts, [one, None], True).rows()[0]) == 59


def test_a_hierarchy_divides_clusters_again() -> None:
    random = np.random.default_rng(4)
    centres = [np.array([side * 10, inner, 0]) for side in (-1, 1) for inner in (-2, 2)]
    vectors = np.concatenate([c + 0.1 * random.normal(size=(30, 3)) for c in centres]).astype(np.float32)
    found = cluster_points((plan(n_clusters=2, depth=2), points_of(vectors)))
    assert [cluster.id for cluster in found.clusters] == ["0", "0_sub_0", "0_sub_1", "1", "1_sub_0", "1_sub_1"]
    assert [cluster.parent for cluster in found.clusters] == [None, "0", "0", None, "1", "1"]
    assert [cluster.level for cluster in found.clusters] == [1, 2, 2, 1, 2, 2]
    assert [cluster.members for cluster in found.clusters] == [60, 30, 30, 60, 30, 30]
    # Documents are in the innermost clusters, and those are what scikit-learn finds in each half.
    halves = KMeans(2, n_init=10, random_state=42).fit_predict(vectors)
    for half in (0, 1):
        inner = KMeans(2, n_init=10, random_state=42).fit_predict(vectors[halves == half])
        assert (found.labels[halves == half] - 3 * half - 1).tolist() == inner.tolist()
    flat = cluster_points((plan(n_clusters=2), points_of(vectors)))
    assert flat.metrics == found.metrics
    assert [cluster.id for cluster in flat.clusters] == ["0", "1"]


def test_few_members_are_not_divided() -> None:
    found = cluster_points((plan(n_clusters=3, depth=5), points_of(blobs(per_cluster=10))))
    assert [cluster.level for cluster in found.clusters] == [1, 1, 1]


def test_whitening_is_scikit_learns() -> None:
    random = np.random.default_rng(9)
    vectors = (random.normal(size=(80, 5)) * [100, 1, 1, 1, 1]).astype(np.float32)
    vectors[:40, 1] += 8
    whitened = Plan(SOURCE, "kmeans", parameters_of("kmeans", {"n_clusters": 2}), steps=({"method": "whitening"},))
    found = cluster_points((whitened, points_of(vectors)))
    direct = KMeans(2, n_init=10, random_state=42).fit_predict(
        PCA(5, whiten=True, random_state=42).fit_transform(vectors).astype(np.float32)
    )
    assert np.array_equal(found.labels, direct)
    # Without it the first column, which says nothing, decides.
    plain = cluster_points((plan(n_clusters=2), points_of(vectors)))
    assert min(np.mean(plain.labels[:40]), 1 - np.mean(plain.labels[:40])) > 0.2
    # Centroids are told in the features' space.
    for number, centroid in enumerate(found.centroids):
        assert centroid == pytest.approx(vectors[found.labels == number].mean(axis=0), abs=1e-3)


def test_tsne_keeps_neighbours_together() -> None:
    steps = read_steps([{"method": "tsne", "perplexity": 5}, "none"])
    reduced = Plan(SOURCE, "kmeans", parameters_of("kmeans", {"n_clusters": 3}), steps=tuple(steps))
    vectors = blobs(per_cluster=12)
    found = cluster_points((reduced, points_of(vectors)))
    plain = cluster_points((plan(n_clusters=3), points_of(vectors)))
    assert len(set(zip(found.labels.tolist(), plain.labels.tolist(), strict=True))) == 3


def test_texts_are_embedded_and_wordless_ones_left_out() -> None:
    texts = ["ebola outbreak in liberia", "! ?", "running and yoga", "", "ebola virus liberia", "yoga and running"]
    found = cluster_points((plan(n_clusters=2), points_of(None, texts, normalize=True)))
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
    for number, (cluster, centroid) in enumerate(zip(found.clusters, found.centroids, strict=True)):
        members = np.flatnonzero(found.labels == number)
        distances = np.linalg.norm(vectors[members] - centroid, axis=1)
        assert cluster.title == f"text {members[distances.argmin()]}"
        cosines = [
            float(row @ centroid / (np.linalg.norm(row) * np.linalg.norm(centroid))) for row in vectors[members]
        ]
        assert cluster.mean_cosine_similarity == pytest.approx(np.mean(cosines), abs=1e-5)
        assert cluster.min_cosine_similarity == pytest.approx(np.min(cosines), abs=1e-5)


def test_normalising_looks_at_directions_only() -> None:
    directions = blobs(per_cluster=20)
    lengths = np.random.default_rng(3).uniform(0.1, 100, size=(len(directions), 1)).astype(np.float32)
    vectors = directions * lengths
    before = vectors.copy()
    one = cluster_points((plan(n_clusters=3), points_of(vectors, normalize=True)))
    other = cluster_points((plan(n_clusters=3), points_of(directions, normalize=True)))
    assert np.array_equal(one.labels, other.labels)
    assert np.array_equal(vectors, before)


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
    total: Counter[str] = Counter()
    for words, label in documents:
        kept = [word for word in words if word != "the" and not word.startswith("http")]
        total.update(kept)
        if label >= 0:
            counts[label].update(kept)
    found = keywords(texts, labels, 3)
    for cluster in range(3):
        said = sum(counts[cluster].values())
        weights = {
            word: many / said * math.log(many / said / (total[word] / sum(total.values())))
            for word, many in counts[cluster].items()
        }
        more = {word: weight for word, weight in weights.items() if weight > 1e-9}
        expected = more or {word: many / said for word, many in counts[cluster].items()}
        assert sorted(found[cluster]) == sorted(expected)
        told = [expected[word] for word in found[cluster]]
        assert told == pytest.approx(sorted(told, reverse=True), rel=1e-5)


def test_words_that_everybody_says_are_no_keywords() -> None:
    texts = [f"officials said {'oil prices' if n % 2 else 'red sox'} new" for n in range(40)] + ["said new"] * 10
    found = keywords(texts, np.array([n % 2 for n in range(40)] + [NOISE] * 10, dtype=np.int32), 2)
    assert [set(words[:2]) for words in found] == [{"red", "sox"}, {"oil", "prices"}]
    assert not {"said", "new"} & {word for words in found for word in words}


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


def test_a_document_has_the_values_its_paths_lead_to() -> None:
    document = {"a": {"b": 1}, "a.c": "dotted", "tags": ["x", "y"], "none": None}
    assert values_of(document, ["a.b", "tags"]) == ("1", '["x","y"]')
    assert values_of(document, ["a.c", "none"]) == ('"dotted"', "null")
    assert values_of(document, ["a.b.c", "none", "tags.0"]) is None


PAIRS = st.lists(
    st.tuples(st.sampled_from(["1", "2", '"x"', "null"]), st.sampled_from(["true", "null"])), min_size=1
)


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.booleans())
def test_groups_are_the_combinations_of_values(pairs: list[tuple[str, str]], hierarchical: bool) -> None:
    grouping = Grouping(["one", "two"])
    numbers = [grouping.number(pair) for pair in pairs]
    groups, places = grouping.groups(hierarchical)
    assert len({group.id for group in groups}) == len(groups)
    where: dict[tuple[str, str], str] = {}
    for pair, number in zip(pairs, numbers, strict=True):
        group = groups[places[number]]
        assert (group.values["one"], group.values["two"]) == tuple(json.loads(value) for value in pair)
        assert where.setdefault(pair, group.id) == group.id
    assert len(set(where.values())) == len(set(pairs))
    parents = {group.id: group for group in groups}
    for group in groups:
        assert (group.parent is None) == (group.level == 1)
        if group.parent is not None:
            assert parents[group.parent].values == {"one": group.values["one"]}
            assert groups.index(parents[group.parent]) < groups.index(group)
    assert {group.level for group in groups} == ({1, 2} if hierarchical else {1})


def test_identifiers_are_no_attributes() -> None:
    grouping = Grouping(["id"])
    for number in range(MOST_GROUPS):
        grouping.number((str(number),))
    with pytest.raises(ActionError, match="id have more than 10,000 combinations"):
        grouping.number(("one more",))
