"""One clustering from documents to described clusters; runs in a child process.

The method sees the documents' rows after preprocessing; centroids, distances and quality are told in the space of
the features, so that documents that were not fitted can be held against them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streams.act.clustering.algorithms import Labels, Matrix, clusters_asked, fit
from streams.act.clustering.plan import Plan
from streams.act.clustering.points import Indices, Points
from streams.act.clustering.preprocessing import transform
from streams.act.clustering.quality import metrics_of
from streams.act.clustering.terms import keywords
from streams.act.failures import ActionError
from streams.act.progress import report

NOISE = -1
LEFT_OUT = -2
"""Label of a document that is no point: its text has no words, or its vector no direction."""
FEWEST_TO_DIVIDE = 20
"""Members a cluster of a hierarchy needs before it is divided again."""
_TITLE = 200

Distances = NDArray[np.float32]


@dataclass(slots=True)
class Cluster:
    """One cluster as it is told to people."""

    id: str
    """``0``, or ``0_sub_1`` for the second cluster inside it."""
    parent: str | None
    level: int
    members: int
    """Documents in it, those of the clusters inside included."""
    label: str = ""
    title: str | None = None
    """Text of the member closest to the centroid."""
    keywords: list[str] = field(default_factory=list)
    mean_cosine_similarity: float | None = None
    min_cosine_similarity: float | None = None
    radius: float = 0.0
    """Distance of the farthest member from the centroid."""


@dataclass(frozen=True, slots=True)
class Clustering:
    """The result of one run over some points."""

    labels: Labels
    """One per document: the index of its innermost cluster, :data:`NOISE` or :data:`LEFT_OUT`."""
    distances: Distances
    """One per document: from its cluster's centroid; NaN without one."""
    clusters: list[Cluster]
    """Every cluster, outer ones before those inside them."""
    centroids: Matrix
    """Shape ``(clusters, d)``."""
    metrics: dict[str, float]

    @property
    def points(self) -> int:
        """Documents that are points, noise included."""
        return int(np.count_nonzero(self.labels != LEFT_OUT))


@dataclass(slots=True)
class _Node:
    """A cluster while the tree grows."""

    cluster: Cluster
    members: Indices
    """Positions in the rows."""
    centroid: Matrix
    siblings: "_Level"
    number: int
    """Its place among its siblings."""


@dataclass(slots=True)
class _Level:
    """What one division found."""

    members: Indices
    """Positions in the rows of what was divided."""
    labels: Labels
    """Per member, numbered without gaps."""
    centroids: Matrix


def cluster_points(call: tuple[Plan, Points]) -> Clustering:
    """Fit on every point, divide again where a hierarchy is wanted, and describe what came out.

    Deterministic: the same documents in the same order give the same clustering. Raises :class:`ActionError`
    when there are fewer points than clusters, ``ValueError`` for parameters scikit-learn refuses.
    """
    plan, points = call
    report(0.0, f"reading {len(points):,} documents")
    indices, rows = points.rows()
    asked = clusters_asked(plan.parameters)
    if len(indices) < max(asked or 1, 1):
        wanted = f"{asked} clusters were asked for" if asked else "at least one is needed"
        raise ActionError(f"{len(indices)} of {len(points)} documents could be clustered, {wanted}")
    report(0.1, f"{plan.method} over {len(indices):,} documents")
    top = _divide(plan, rows, np.arange(len(rows), dtype=np.int64))
    report(0.7, "dividing clusters" if plan.depth > 1 else "measuring clusters")
    nodes = list(_grow(plan, rows, top, None))
    metrics = metrics_of(rows, top.labels)
    report(0.8, f"describing {len(nodes):,} clusters")
    found = np.full(len(rows), NOISE, dtype=np.int32)
    for index, node in enumerate(nodes):
        # Those inside come later and take their members over.
        found[node.members] = index
    labels = np.full(len(points), LEFT_OUT, dtype=np.int32)
    labels[indices] = found
    distances = np.full(len(points), np.nan, dtype=np.float32)
    texts = [points.texts[index] for index in indices.tolist()]
    words = {id(level): _words(texts, level) for level in {id(n.siblings): n.siblings for n in nodes}.values()}
    for index, node in enumerate(nodes):
        away = _describe(node, rows, texts, words[id(node.siblings)])
        inside = found[node.members] == index
        distances[indices[node.members[inside]]] = away[inside]
    centroids = np.stack([node.centroid for node in nodes]) if nodes else np.empty((0, rows.shape[1]), np.float32)
    return Clustering(labels, distances, [node.cluster for node in nodes], centroids, metrics)


def _divide(plan: Plan, rows: Matrix, members: Indices) -> _Level:
    """Cluster some of the rows."""
    whole = len(members) == len(rows)
    some = rows if whole else rows[members]
    labels, centres = fit(plan.method, plan.parameters, transform(plan.steps, some))
    numbers, dense = _numbered(labels)
    if centres is not None and not plan.steps:
        return _Level(members, dense, centres[numbers])
    means = np.empty((len(numbers), rows.shape[1]), dtype=np.float32)
    for number in range(len(numbers)):
        means[number] = some[dense == number].mean(axis=0)
    return _Level(members, dense, means)


def _grow(plan: Plan, rows: Matrix, level: _Level, parent: Cluster | None) -> Iterator[_Node]:
    """The clusters of a division, outer before inner."""
    for number, centroid in enumerate(level.centroids):
        members = level.members[level.labels == number]
        own = str(number) if parent is None else f"{parent.id}_sub_{number}"
        depth = 1 if parent is None else parent.level + 1
        cluster = Cluster(own, None if parent is None else parent.id, depth, len(members))
        yield _Node(cluster, members, centroid, level, number)
        enough = max(FEWEST_TO_DIVIDE, 2 * (clusters_asked(plan.parameters) or 1))
        if depth < plan.depth and len(members) >= enough:
            inner = _divide(plan, rows, members)
            if len(inner.centroids) > 1:
                yield from _grow(plan, rows, inner, cluster)


def _numbered(labels: Labels) -> tuple[Indices, Labels]:
    """The method's own cluster numbers, ascending, and the labels renumbered without gaps."""
    numbers, renumbered = np.unique(labels[labels >= 0], return_inverse=True)
    dense = np.full_like(labels, NOISE)
    dense[labels >= 0] = renumbered
    return numbers.astype(np.int64), dense


def _words(texts: Sequence[str], level: _Level) -> list[list[str]]:
    """What sets the clusters of one division apart from each other."""
    return keywords([texts[index] for index in level.members.tolist()], level.labels, len(level.centroids))


def _describe(node: _Node, rows: Matrix, texts: Sequence[str], words: list[list[str]]) -> Distances:
    """Fill in what a cluster is called and how tight it is; gives its members' distances."""
    cluster, own = node.cluster, rows[node.members]
    away: Distances = np.linalg.norm(own - node.centroid, axis=1)
    lengths = np.linalg.norm(own, axis=1) * np.linalg.norm(node.centroid)
    cosines = np.clip((own @ node.centroid) / np.where(lengths > 0, lengths, 1.0), -1.0, 1.0)
    cluster.keywords = words[node.number]
    cluster.label = ", ".join(cluster.keywords[:3]) or f"cluster {cluster.id}"
    cluster.title = " ".join(texts[int(node.members[away.argmin()])].split())[:_TITLE] or None
    cluster.mean_cosine_similarity = float(np.mean(cosines, dtype=np.float64))
    cluster.min_cosine_similarity = float(cosines.min())
    cluster.radius = float(away.max())
    return away
