"""Which sketches documents add to (design section 5). Pure.

A sketch measures arrivals: every write that is not a duplicate adds its vector to the bucket of its instant, and
a deletion takes nothing away.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.times import TimeDomain
from streams.collect.arrivals import Collection
from streams.collect.fold import Change
from streams.engines.drift.buckets import bucket_start
from streams.engines.drift.sketch import Sketch


@dataclass(frozen=True, slots=True, order=True)
class SketchSpec:
    """One series of sketches: a feature of a collection, cut into buckets of a time domain."""

    namespace_id: str
    collection_id: str
    feature: str
    """Feature URI."""
    time_domain: TimeDomain
    """``event_time`` cuts by ``occurred_at``, ``processing_time`` by append time."""
    width_seconds: int

    @property
    def collection(self) -> Collection:
        """The collection it belongs to."""
        return self.namespace_id, self.collection_id


class Place(NamedTuple):
    """Where a document's vector belongs."""

    partition: int
    occurred_at: datetime
    appended_at: datetime


class Cell(NamedTuple):
    """One row of sketches: no two partitions share one."""

    spec: SketchSpec
    partition: int
    bucket_start: datetime


def arrived(changes: Iterable[Change], collection: Collection) -> list[Change]:
    """The additions and updates of one collection."""
    return [
        change
        for change in changes
        if change.kind != "documents_deleted" and change.arrival.collection == collection
    ]


def place(change: Change) -> Place:
    """Where a change's document belongs."""
    arrival = change.arrival
    return Place(arrival.partition, arrival.event.occurred_at, arrival.appended_at)


def sketch_cells(
    specs: Iterable[SketchSpec], places: Sequence[Place], vectors: NDArray[Any]
) -> dict[Cell, Sketch]:
    """Sketches of ``vectors``, shape ``(len(places), dimensions)``, per spec, partition and bucket."""
    cells: dict[Cell, Sketch] = {}
    empty = Sketch.empty(vectors.shape[1])
    for spec in specs:
        by_event_time = spec.time_domain == "event_time"
        rows: dict[Cell, list[int]] = {}
        for row, (partition, occurred_at, appended_at) in enumerate(places):
            start = bucket_start(occurred_at if by_event_time else appended_at, spec.width_seconds)
            rows.setdefault(Cell(spec, partition, start), []).append(row)
        for cell, members in rows.items():
            cells[cell] = empty.add(vectors[members])
    return cells


def fitting(
    places: Sequence[Place], vectors: Sequence[NDArray[np.float32]], dimensions: int
) -> tuple[list[Place], NDArray[np.float32]]:
    """Those vectors that have the feature's dimensions, as one matrix; others cannot be compared with them."""
    rows = [row for row, vector in enumerate(vectors) if len(vector) == dimensions]
    matrix = np.array([vectors[row] for row in rows], dtype=np.float32).reshape(len(rows), dimensions)
    return [places[row] for row in rows], matrix
