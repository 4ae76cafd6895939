from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engines.retrieval.errors import StageError
from streams.engines.retrieval.stages.clustering import Algorithm, labelled
from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.vectors.cosine import unit_rows
from tests.engines.retrieval.stages.rows import row
from tests.engines.retrieval.stages.running import applied

ALGORITHMS: list[Algorithm] = ["hdbscan", "kmeans", "dbscan", "agglomerative", "spectral", "gaussian_mixture"]


def blobs(sizes: list[int], dimensions: int = 8) -> list[Row]:
    """Documents around as many directions as there are sizes."""
    rng = np.random.default_rng(7)
    rows = []
    for kind, size in enumerate(sizes):
        for at in range(size):
            vector = rng.normal(0, 0.05, dimensions)
            vector[kind] += 1
            rows.append(row(f"{kind}-{at}", at / 100, vector.tolist(), kind=kind))
    return rows


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_finds_what_is_apart(algorithm: str) -> None:
    rows = blobs([12, 8, 10])
    found = applied("cluster", {"algorithm": algorithm, "n_clusters": 3, "output_mode": "labeled"}, rows)
    assert [one.document_id for one in found] == [one.document_id for one in rows]
    pairs = {(one.fields["kind"], one.fields["cluster_id"]) for one in found}
    assert pairs == {(0, 0), (1, 2), (2, 1)}
    assert all(0 <= one.fields["cluster_score"] < 0.6 for one in found)
    again = applied("cluster", {"algorithm": algorithm, "num_clusters": 3, "output_mode": "labeled"}, rows)
    assert again == found


def test_clusters_and_representatives() -> None:
    rows = [*blobs([12, 8]), row("bare"), row("odd", None, [1.0, 2.0])]
    notes: list[str] = []
    parameters: dict[str, Any] = {"algorithm": "kmeans", "n_clusters": 2, "embedding_field": "words"}
    found = applied("cluster", {**parameters, "max_members_per_cluster": 3}, rows, stored=rows, notes=notes)
    assert [(one.fields["cluster_id"], one.fields["member_count"]) for one in found] == [(0, 12), (1, 8)]
    assert all(len(one.fields["members"]) == 3 for one in found)
    assert found[0].score == 0.11
    assert len(found[0].fields["centroid"]) == 8
    assert "2 documents without a vector" in notes[0]
    bare = applied("cluster", {**parameters, "include_centroids": False}, rows, stored=rows)
    assert "centroid" not in bare[0].fields
    central = applied("cluster", {**parameters, "output_mode": "representatives"}, rows, stored=rows)
    assert [one.document_id for one in central] == [one.fields["members"][0]["document_id"] for one in found]
    labeled = applied("cluster", {**parameters, "output_mode": "labeled"}, rows, stored=rows)
    assert [one.fields["cluster_id"] for one in labeled[-2:]] == [-1, -1]


@given(
    st.lists(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), min_size=2, max_size=2), min_size=1, max_size=9),
    st.sampled_from(ALGORITHMS),
    st.one_of(st.none(), st.integers(2, 12)),
)
@settings(max_examples=60)
def test_any_vectors_have_labels(vectors: list[list[float]], algorithm: Algorithm, n_clusters: int | None) -> None:
    unit = unit_rows(np.array([vector for vector in vectors if any(vector)] or [[1.0, 0.0]]))
    labels = labelled(unit, algorithm, n_clusters, 5)
    assert labels.shape == (len(unit),)
    assert labels.min() >= -1


def test_too_many_documents_are_refused() -> None:
    with pytest.raises(StageError, match="at most 5,000 documents, found 5,001"):
        applied("cluster", {}, [row(str(at)) for at in range(5_001)])


def test_several_features_need_a_choice() -> None:
    two = row("a", None, [1.0, 0.0])
    two.features = {"words": np.ones(2, dtype=np.float32), "picture": np.ones(3, dtype=np.float32)}
    with pytest.raises(StageError, match=r"feature_uri says by which feature.*picture, words"):
        applied("cluster", {}, [two])
    two.matched = {"words": 0.9}
    assert applied("cluster", {"algorithm": "kmeans"}, [two])[0].fields["centroid"] == pytest.approx(
        [0.5**0.5] * 2
    )
