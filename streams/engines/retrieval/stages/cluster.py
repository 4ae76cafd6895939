"""``cluster``: documents that are alike together, found by their vectors (contract section 6)."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from streams.engines.retrieval.errors import StageError
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.stages.clustering import Algorithm, labelled
from streams.engines.retrieval.stages.feature_choice import only_feature
from streams.engines.retrieval.stages.parameters import StageParameters
from streams.engines.retrieval.stages.percolating import DEPENDS_ON_OTHERS
from streams.engines.retrieval.stages.stage import Row, Stage
from streams.engines.retrieval.stages.values import number
from streams.engines.retrieval.vectors.cosine import DIGITS, unit_rows

MAX_ROWS: Final = 5_000
"""Some algorithms hold every pair of documents in memory."""
NOISE: Final = -1
"""The cluster of documents that are in none."""


class Parameters(StageParameters):
    """How clusters are found, and what comes out."""

    guide: ClassVar[dict[str, str]] = {"num_clusters": "n_clusters", "embedding_field": "feature_uri"}

    algorithm: Algorithm = "hdbscan"
    n_clusters: int | None = Field(default=None, ge=2, le=100)
    """For the algorithms that are told; without it a tenth of the documents, at most 8."""
    min_cluster_size: int = Field(default=5, ge=2, le=100)
    """For hdbscan and dbscan; at most a third of the documents."""
    feature_uri: str | None = Field(default=None, min_length=1)
    """Without it the only feature the documents have."""
    output_mode: Literal["clusters", "labeled", "representatives"] = "clusters"
    """``clusters``: one row per cluster with its members; ``labeled``: the documents with ``cluster_id`` (-1 for
    those in none) and ``cluster_score``; ``representatives``: so labelled, the central document of each."""
    include_centroids: bool = True
    max_members_per_cluster: int = Field(default=50, ge=1, le=500)


class Clusters:
    """Rows by cluster, clusters numbered from 0, the largest first (of equal ones the first to appear)."""

    def __init__(self, labels: NDArray[np.intp], places: Sequence[int], unit: NDArray[np.float64]) -> None:
        found = [np.flatnonzero(labels == label) for label in dict.fromkeys(labels.tolist()) if label != NOISE]
        self.distance: dict[int, float] = {}
        """Place of a clustered row → its Euclidean distance from the centre, both at length 1; lower is closer."""
        self.members: list[list[int]] = []
        """Places of rows, nearest to the centre first."""
        self.centroids: list[list[float]] = []
        for rows in sorted(found, key=len, reverse=True):
            centre = unit[rows].mean(axis=0)
            gaps = np.round(np.sqrt(((unit[rows] - centre) ** 2).sum(axis=1)), DIGITS)
            near = [places[int(rows[at])] for at in np.argsort(gaps, kind="stable")]
            self.distance.update((places[int(row)], float(gap)) for row, gap in zip(rows, gaps, strict=True))
            self.members.append(near)
            self.centroids.append([float(part) for part in centre])


def output(rows: Sequence[Row], clusters: Clusters, parameters: Parameters) -> list[Row]:
    """The rows that the stage gives."""
    owner = {place: at for at, members in enumerate(clusters.members) for place in members}

    def label(place: int) -> Row:
        row = rows[place]
        fields = {
            **row.fields,
            "cluster_id": owner.get(place, NOISE),
            "cluster_score": clusters.distance.get(place),
        }
        return replace(row, fields=fields)

    if parameters.output_mode == "labeled":
        return [label(place) for place in range(len(rows))]
    if parameters.output_mode == "representatives":
        return [label(members[0]) for members in clusters.members]
    return [_summary(at, rows, clusters, parameters) for at in range(len(clusters.members))]


def _summary(at: int, rows: Sequence[Row], clusters: Clusters, parameters: Parameters) -> Row:
    """A cluster as a row: it goes on as its central document, with the best score of its members."""
    members = clusters.members[at]
    fields: dict[str, Any] = {
        "cluster_id": at,
        "member_count": len(members),
        "members": [rows[place].root() for place in members[: parameters.max_members_per_cluster]],
    }
    if parameters.include_centroids:
        fields["centroid"] = clusters.centroids[at]
    scores = [score for place in members if (score := number(rows[place].score)) is not None]
    return replace(rows[members[0]], fields=fields, score=max(scores, default=None))


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Cluster. Documents without the feature, or of other dimensions than most, are in no cluster."""
    if not rows:
        return []
    if len(rows) > MAX_ROWS:
        raise StageError(
            f"{run.place}: works on at most {MAX_ROWS:,} documents, found {len(rows):,}; put a limit before it"
        )
    uri = parameters.feature_uri or await only_feature(rows, run, "feature_uri")
    vectors = await run.vectors(rows, uri)
    sizes = [vector.size for vector in vectors if vector is not None and vector.any()]
    size = max(sizes, key=sizes.count, default=0)
    places = [
        at for at, vector in enumerate(vectors) if vector is not None and vector.size == size and vector.any()
    ]
    if len(places) < len(rows):
        run.warn(f"{len(rows) - len(places)} documents without a vector for {uri} are in no cluster")
    unit = unit_rows(np.array([vectors[at] for at in places], dtype=np.float64).reshape(len(places), size))
    # Other work goes on meanwhile: it computes for seconds.
    labels = await asyncio.to_thread(
        labelled, unit, parameters.algorithm, parameters.n_clusters, parameters.min_cluster_size
    )
    return output(rows, Clusters(labels, places, unit), parameters)


STAGE = Stage(
    stage_id="cluster",
    category="reduce",
    summary="Find groups of alike documents by their vectors",
    parameters=Parameters,
    run=run,
    percolate=DEPENDS_ON_OTHERS,
)
