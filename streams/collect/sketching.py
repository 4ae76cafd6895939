"""Which sketches documents add to (design section 5). Pure.

A sketch measures arrivals: every write that is not a duplicate adds its vector, number or category to the bucket
of its instant, and a deletion takes nothing away. Each series is kept at several widths
(:mod:`streams.engines.rules.rollup`), so what a check reads is as little after years as after days.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.times import TimeDomain
from streams.collect.arrivals import Collection as CollectionKey
from streams.collect.fold import Change
from streams.engines.drift.buckets import bucket_start
from streams.engines.drift.series import empty_sketch
from streams.engines.drift.sketch import SeriesSketch
from streams.engines.retrieval.filters.paths import Path, parse_path, resolve
from streams.engines.retrieval.vectors.embedder import HashingEmbedder, document_text
from streams.engines.rules.measured import Measured

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class SketchSpec:
    """One series of sketches: something measured of a collection, cut into buckets of a time domain."""

    namespace_id: str
    collection_id: str
    feature: str
    """Key of what is measured."""
    time_domain: TimeDomain
    """``event_time`` cuts by when a document occurred (a late one by what it was late for), ``processing_time`` by
    append time."""
    width_seconds: int

    @property
    def collection(self) -> CollectionKey:
        """The collection it belongs to."""
        return self.namespace_id, self.collection_id

    @property
    def measured(self) -> Measured:
        """What is measured."""
        return Measured.of_key(self.feature)


class Place(NamedTuple):
    """Where what is measured of a document belongs."""

    partition: int
    measured_at: datetime
    appended_at: datetime


class Places(tuple[Place, ...]):
    """Where the documents of a batch belong. They are cut into buckets once, for all that is measured of them."""

    def __init__(self, _: Iterable[Place] = ()) -> None:
        self._cuts: dict[tuple[TimeDomain, int], Mapping[tuple[int, datetime], list[int]]] = {}

    def cut(self, domain: TimeDomain, width_seconds: int) -> Mapping[tuple[int, datetime], list[int]]:
        """The numbers of the places in each partition and bucket, by its start."""
        found = self._cuts.get((domain, width_seconds))
        if found is None:
            found = self._cuts[domain, width_seconds] = self._cut(domain, width_seconds)
        return found

    def _cut(self, domain: TimeDomain, width_seconds: int) -> Mapping[tuple[int, datetime], list[int]]:
        rows: dict[tuple[int, datetime], list[int]] = {}
        starts: dict[datetime, datetime] = {}
        for row, (partition, measured_at, appended_at) in enumerate(self):
            moment = measured_at if domain == "event_time" else appended_at
            start = starts.get(moment)
            if start is None:
                start = starts[moment] = bucket_start(moment, width_seconds)
            rows.setdefault((partition, start), []).append(row)
        return rows


class Cell(NamedTuple):
    """One row of sketches: no two partitions share one."""

    spec: SketchSpec
    partition: int
    bucket_start: datetime


class Filled(NamedTuple):
    """What a row holds."""

    documents: int
    """Writes that had something to measure."""
    sketch: SeriesSketch | None
    """``None`` where documents are only counted."""

    def merge(self, other: "Filled") -> "Filled":
        """Both together."""
        sketch = other.sketch if self.sketch is None or other.sketch is None else self.sketch.merge(other.sketch)
        return Filled(self.documents + other.documents, sketch)


Cells = dict[Cell, Filled]


def arrived(
    changes: Iterable[Change], collection: CollectionKey, conditional: Collection[str] = ()
) -> list[Change]:
    """The additions and updates of one collection that are arrivals. What the system itself writes over a document
    that is there (an enrichment) is none; nor is what one of the ``conditional`` triggers that measure the
    collection has caused, or a check would see its own effect and fire on it (design section 3, Loops)."""
    return [
        change
        for change in changes
        if change.kind != "documents_deleted"
        and change.arrival.collection == collection
        and not (change.arrival.causes and _own(change, conditional))
    ]


def _own(change: Change, conditional: Collection[str]) -> bool:
    """Whether a write with causes measures nothing."""
    return change.kind == "documents_updated" or any(cause in conditional for cause in change.arrival.causes)


def place(change: Change) -> Place:
    """Where a change's document belongs."""
    arrival = change.arrival
    return Place(arrival.partition, change.measured_at, arrival.appended_at)


def written(spec: SketchSpec, places: Places, changes: Sequence[Change]) -> tuple[Places, list[Any]]:
    """What is to be measured of writes, and where it belongs; ``places`` are those of ``changes``. Writes that do
    not bring the feature are left out."""
    events = [change.arrival.event for change in changes]
    if spec.measured.kind != "embedding":
        return places, [event.payload for event in events]
    if spec.feature == HashingEmbedder.URI:
        return places, [document_text(event.text, event.payload) for event in events]
    vectors = [event.features.get(spec.feature) for event in events]
    return _held(places, vectors), [vector for vector in vectors if vector is not None]


def vector_cells(specs: Iterable[SketchSpec], places: Places, vectors: NDArray[Any]) -> Cells:
    """Sketches of ``vectors``, shape ``(len(places), dimensions)``, per spec, partition and bucket."""
    empty: SeriesSketch = empty_sketch("embedding", vectors.shape[1])
    return _cells(specs, places, lambda rows: empty.add(vectors[rows]))


def field_cells(specs: Iterable[SketchSpec], places: Places, payloads: Sequence[Any], measured: Measured) -> Cells:
    """Sketches of a payload field, per spec, partition and bucket; ``payloads`` belong to ``places``. A list
    gives each of its items; a document whose field holds nothing of the kind is left out."""
    empty: SeriesSketch = empty_sketch("number" if measured.kind == "number" else "category")
    plain = _column(payloads, parse_path(measured.name), measured)
    if plain is not None:
        return _cells(specs, places, lambda rows: empty.add([plain[row] for row in rows]))
    path, take = parse_path(measured.name), _number if measured.kind == "number" else _category
    found = [_values(payload, path, take) or None for payload in payloads]
    held = [values for values in found if values is not None]
    return _cells(
        specs, _held(places, found), lambda rows: empty.add([value for row in rows for value in held[row]])
    )


def _column(payloads: Sequence[Any], path: Path, measured: Measured) -> list[Any] | None:
    """A field of which every document has one value that needs no closer look; else ``None``."""
    if len(path.splits) != 1 or path.text == "payload" or not {dict}.issuperset(map(type, payloads)):
        return None
    found = [payload.get(path.text) for payload in payloads]
    if measured.kind == "category":
        return found if {str}.issuperset(map(type, found)) else None
    try:
        return found if {float, int}.issuperset(map(type, found)) and all(map(math.isfinite, found)) else None
    except OverflowError:
        return None


def _held(places: Places, values: Sequence[object]) -> Places:
    """The places of those values that are not ``None``."""
    held = Places(place for place, value in zip(places, values, strict=True) if value is not None)
    # The same places have been cut already.
    return places if len(held) == len(places) else held


def counted_cells(specs: Iterable[SketchSpec], places: Places) -> Cells:
    """Documents per spec, partition and bucket."""
    return _cells(specs, places, lambda _: None)


def add(cells: Cells, cell: Cell, filled: Filled) -> None:
    """Merge into a row."""
    held = cells.get(cell)
    cells[cell] = filled if held is None else held.merge(filled)


def _cells(
    specs: Iterable[SketchSpec], places: Places, sketch: Callable[[list[int]], SeriesSketch | None]
) -> Cells:
    """Rows of the narrowest width are sketched, wider ones merged from them. ``specs`` measure one thing."""
    cells: Cells = {}
    for domain in ("event_time", "processing_time"):
        kinds = sorted((spec for spec in specs if spec.time_domain == domain), key=lambda spec: spec.width_seconds)
        for narrower, spec in zip((None, *kinds), kinds, strict=False):
            if narrower is None:
                for (partition, start), rows in places.cut(spec.time_domain, spec.width_seconds).items():
                    cells[Cell(spec, partition, start)] = Filled(len(rows), sketch(rows))
                continue
            for cell, filled in [item for item in cells.items() if item[0].spec == narrower]:
                start = bucket_start(cell.bucket_start, spec.width_seconds)
                add(cells, Cell(spec, cell.partition, start), filled)
    return cells


def _values(payload: Any, path: Path, take: Callable[[Any], T | None]) -> list[T]:
    """What a field holds that can be measured."""
    if type(payload) is dict and len(path.splits) == 1 and path.text != "payload":
        # Most are a plain field.
        values = [payload[path.text]] if path.text in payload else []
    else:
        values = resolve({"payload": payload}, path)
    found: list[T] = []
    for value in values:
        for item in value if type(value) is list else (value,):
            taken = take(item)
            if taken is not None:
                found.append(taken)
    return found


def _number(value: Any) -> float | None:
    if type(value) is not int and type(value) is not float:
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _category(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        # 1.0 is 1, -0.0 is 0, and 1e16 comes back from the database with all its digits.
        return str(int(Decimal(repr(value))))
    # Numbers and truth values as JSON writes them; null, objects and nested lists are no category.
    return orjson.dumps(value).decode() if isinstance(value, bool | int | float) else None


def fitting(
    places: Places, vectors: Sequence[NDArray[np.float32]], dimensions: int
) -> tuple[Places, NDArray[np.float32]]:
    """Those vectors that have the feature's dimensions, as one matrix; others cannot be compared with them."""
    fits = [vector if len(vector) == dimensions else None for vector in vectors]
    held = [vector for vector in fits if vector is not None]
    matrix = np.concatenate(held) if held else np.zeros(0, dtype=np.float32)
    return _held(places, fits), matrix.reshape(len(held), dimensions)
