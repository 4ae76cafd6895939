"""One clustering from documents to described clusters; runs in the process pool."""

from dataclasses import dataclass, field

import numpy as np

from streams.act.clustering.algorithms import Labels, Matrix, clusters_asked, fit
from streams.act.clustering.plan import Plan
from streams.act.clustering.points import Indices, Points, sample
from streams.act.clustering.quality import metrics_of
from streams.act.clustering.terms import keywords
from streams.act.failures import ActionError

NOISE = -1
LEFT_OUT = -2
"""Label of a document that is no point: its text has no words, or its vector no direction."""
_BLOCK = 4_096
_TITLE = 200


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster as it is told to people."""

    number: int
    members: int
    label: str
    title: str | None
    """Text of the member closest to the centroid."""
    keywords: list[str]
    mean_cosine_similarity: float


@dataclass(frozen=True, slots=True)
class Clustering:
    """The result of one run."""

    labels: Labels
    """One per document: its cluster's number, :data:`NOISE` or :data:`LEFT_OUT`."""
    clusters: list[Cluster]
    """By number."""
    centroids: Matrix
    """Shape ``(clusters, d)``."""
    metrics: dict[str, float]
    fitted: int
    """Points the method was fitted on; the others went to the nearest centroid."""

    @property
    def points(self) -> int:
        """Documents that are points, noise included."""
        return int(np.count_nonzero(self.labels != LEFT_OUT))


@dataclass(slots=True)
class _Closest:
    """Per cluster, the member closest to the centroid seen so far, and the sum of the members' cosines."""

    distance: list[float]
    index: list[int]
    cosines: list[float] = field(default_factory=list)


def cluster_points(call: tuple[Plan, Points]) -> Clustering:
    """Fit on the sample, give the rest to the nearest centroid, describe what came out.

    Deterministic: the same documents in the same order give the same clustering. Raises :class:`ActionError`
    when there are fewer points than clusters, ``ValueError`` for parameters scikit-learn refuses.
    """
    plan, points = call
    drawn, rest = sample(points.ids, plan.fit_rows)
    fitted, rows = points.rows(drawn)
    asked = clusters_asked(plan.parameters)
    if len(fitted) < max(asked or 1, 1):
        wanted = f"{asked} clusters were asked for" if asked else "at least one is needed"
        raise ActionError(f"{len(fitted)} of {len(points)} documents could be clustered, {wanted}")
    found, own_centres = fit(plan.method, plan.parameters, rows)
    numbers, found = _numbered(found)
    centroids = _means(rows, found, len(numbers)) if own_centres is None else own_centres[numbers]

    labels = np.full(len(points), LEFT_OUT, dtype=np.int32)
    labels[fitted] = found
    closest = _Closest([np.inf] * len(numbers), [-1] * len(numbers), [0.0] * len(numbers))
    for start in range(0, len(fitted), _BLOCK):
        block = slice(start, start + _BLOCK)
        _look(closest, fitted[block], rows[block], found[block], centroids)
    metrics = metrics_of(rows, found)
    del rows
    for start in range(0, len(rest), _BLOCK):
        indices, rows = points.rows(rest[start : start + _BLOCK])
        nearest = _nearest(rows, centroids)
        labels[indices] = nearest
        _look(closest, indices, rows, nearest, centroids)
    return Clustering(labels, _described(points, labels, closest), centroids, metrics, len(fitted))


def _numbered(labels: Labels) -> tuple[Indices, Labels]:
    """The method's own cluster numbers, ascending, and the labels renumbered without gaps."""
    numbers, renumbered = np.unique(labels[labels >= 0], return_inverse=True)
    dense = np.full_like(labels, NOISE)
    dense[labels >= 0] = renumbered
    return numbers.astype(np.int64), dense


def _means(rows: Matrix, labels: Labels, clusters: int) -> Matrix:
    means = np.empty((clusters, rows.shape[1]), dtype=np.float32)
    for cluster in range(clusters):
        means[cluster] = rows[labels == cluster].mean(axis=0)
    return means


def _nearest(rows: Matrix, centroids: Matrix) -> Labels:
    if not len(centroids):
        return np.full(len(rows), NOISE, dtype=np.int32)
    # |x - c|² without |x|², which is the same for every centroid.
    distances: Matrix = np.einsum("ij,ij->i", centroids, centroids) - 2.0 * (rows @ centroids.T)
    nearest: Labels = distances.argmin(axis=1).astype(np.int32)
    return nearest


def _look(closest: _Closest, indices: Indices, rows: Matrix, labels: Labels, centroids: Matrix) -> None:
    inside = labels >= 0
    if not inside.any():
        return
    indices, rows, labels = indices[inside], rows[inside], labels[inside]
    own = centroids[labels]
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(own, axis=1)
    cosines = np.einsum("ij,ij->i", rows, own) / np.where(lengths > 0, lengths, 1.0)
    distances = np.linalg.norm(rows - own, axis=1)
    for cluster in np.unique(labels):
        members = np.flatnonzero(labels == cluster)
        closest.cosines[cluster] += float(cosines[members].sum())
        best = members[distances[members].argmin()]
        if distances[best] < closest.distance[cluster]:
            closest.distance[cluster] = float(distances[best])
            closest.index[cluster] = int(indices[best])


def _described(points: Points, labels: Labels, closest: _Closest) -> list[Cluster]:
    count = len(closest.index)
    sizes = np.bincount(labels[labels >= 0], minlength=count)
    terms = keywords(points.texts, labels, count)
    return [
        Cluster(
            number=number,
            members=int(sizes[number]),
            label=", ".join(terms[number][:3]) or f"cluster {number}",
            title=" ".join(points.texts[closest.index[number]].split())[:_TITLE] or None,
            keywords=terms[number],
            mean_cosine_similarity=float(np.clip(closest.cosines[number] / sizes[number], -1.0, 1.0)),
        )
        for number in range(count)
    ]
