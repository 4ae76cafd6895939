"""Giving documents to clusters that are there: those outside a sample, and those of mode ``assign``."""

from dataclasses import dataclass

import numpy as np

from streams.act.clustering.algorithms import Labels, Matrix
from streams.act.clustering.points import Points
from streams.act.clustering.run import LEFT_OUT, NOISE, Distances
from streams.act.failures import ActionError

_BLOCK = 4_096


@dataclass(frozen=True, slots=True)
class Target:
    """The clusters documents may go to."""

    centroids: Matrix
    """Shape ``(k, d)``."""
    numbers: Labels
    """Shape ``(k,)``: the label each stands for."""
    radii: Distances | None = None
    """Documents farther than this from the nearest centroid are noise; ``None``: none is."""
    threshold: float | None = None
    """Then the nearest is the centroid of the greatest cosine similarity, and documents under it are noise."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """Where the documents went."""

    labels: Labels
    distances: Distances
    """To the centroid (Euclidean); NaN without one."""


def assign_points(call: tuple[Target, Points]) -> Assigned:
    """The nearest of the target's clusters for each point; runs in a child process.

    Raises :class:`ActionError` when points and centroids are of different dimensions.
    """
    target, points = call
    labels = np.full(len(points), LEFT_OUT, dtype=np.int32)
    distances = np.full(len(points), np.nan, dtype=np.float32)
    indices, rows = points.rows()
    if len(target.centroids) and rows.shape[1] != target.centroids.shape[1]:
        raise ActionError(
            f"the documents have {rows.shape[1]} dimensions, the centroids {target.centroids.shape[1]}:"
            " the clusters were made from other features"
        )
    for start in range(0, len(indices), _BLOCK):
        block = slice(start, start + _BLOCK)
        labels[indices[block]], distances[indices[block]] = _nearest(target, rows[block])
    return Assigned(labels, distances)


def _nearest(target: Target, rows: Matrix) -> tuple[Labels, Distances]:
    if not len(target.centroids):
        return np.full(len(rows), NOISE, dtype=np.int32), np.full(len(rows), np.nan, dtype=np.float32)
    products = rows @ target.centroids.T
    if target.threshold is None:
        # |x - c|² without |x|², which is the same for every centroid.
        nearest = (np.einsum("ij,ij->i", target.centroids, target.centroids) - 2.0 * products).argmin(axis=1)
        distances = np.linalg.norm(rows - target.centroids[nearest], axis=1)
        inside = np.ones(len(rows), dtype=bool) if target.radii is None else distances <= target.radii[nearest]
    else:
        lengths = np.linalg.norm(rows, axis=1)[:, None] * np.linalg.norm(target.centroids, axis=1)
        cosines = products / np.where(lengths > 0, lengths, 1.0)
        nearest = cosines.argmax(axis=1)
        distances = np.linalg.norm(rows - target.centroids[nearest], axis=1)
        inside = cosines[np.arange(len(rows)), nearest] >= target.threshold
    return (
        np.where(inside, target.numbers[nearest], NOISE).astype(np.int32),
        np.where(inside, distances, np.nan).astype(np.float32),
    )
