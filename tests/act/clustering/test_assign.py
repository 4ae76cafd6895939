"""Documents given to clusters that there are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from streams.act.clustering.assign import Target, assign_points
from streams.act.clustering.run import NOISE
from streams.act.failures import ActionError
from tests.act.clustering.support import blobs, points_of


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
