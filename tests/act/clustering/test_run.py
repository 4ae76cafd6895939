"""A clustering as a whole, held against plain recomputation."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from schemas.api.clustering import read_steps
from streams.act.clustering.algorithms import METHODS, MOST_NUMBERS, parameters_of
from streams.act.clustering.plan import Plan
from streams.act.clustering.points import Draw, Points
from streams.act.clustering.run import LEFT_OUT, NOISE, cluster_points
from streams.act.failures import ActionError
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from tests.act.clustering.support import SOURCE, blobs, plan, points_of


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
