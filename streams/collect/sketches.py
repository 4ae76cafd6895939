"""Rows of drift sketches: merged into, seeded from stored documents, dropped. In the caller's transaction.

Invariant: a row of ``drift_seeds`` for (series, partition) exists exactly while its sketches cover every document
of the partition that is stored, up to the partition's position. Whoever moves the position therefore adds to all
series that have a seed, or drops the seed together with its sketches.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any, NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from streams.collect.arrivals import Collection as CollectionKey
from streams.collect.sketching import (
    Cell,
    Cells,
    Filled,
    Place,
    Places,
    SketchSpec,
    add,
    counted_cells,
    field_cells,
    fitting,
    vector_cells,
)
from streams.engines.drift.series import sketch_from_bytes
from streams.engines.drift.sketch import Sketch
from streams.engines.retrieval.vectors.embedder import HashingEmbedder, document_text
from streams.runtime.database import Connection, columns, fetch_value

log = structlog.get_logger(__name__)

_CHUNK = 1_000
"""Documents read at once when seeding."""
_HELD = 4_000
"""Sketches held in memory when seeding, some 10 kB each for 1,024 dimensions."""


class Seed(NamedTuple):
    """A series of sketches in one partition."""

    spec: SketchSpec
    partition: int


_SERIES = "namespace_id = %s AND collection_id = %s AND feature = %s AND time_domain = %s AND width_seconds = %s"


def _series(spec: SketchSpec) -> tuple[str, str, str, str, int]:
    return spec.namespace_id, spec.collection_id, spec.feature, spec.time_domain, spec.width_seconds


async def seeds(
    connection: Connection, partitions: Iterable[int], collections: Iterable[CollectionKey] | None
) -> set[Seed]:
    """The seeds of some partitions, of some collections or of all."""
    pairs = None if collections is None else list(collections)
    cursor = await connection.execute(
        "SELECT namespace_id, collection_id, feature, time_domain, width_seconds, partition FROM drift_seeds"
        " WHERE partition = ANY(%(partitions)s) AND (%(every)s OR (namespace_id, collection_id) IN"
        " (SELECT * FROM unnest(%(namespaces)s::text[], %(collections)s::text[])))",
        {
            "partitions": list(partitions),
            "every": pairs is None,
            "namespaces": [pair[0] for pair in pairs or ()],
            "collections": [pair[1] for pair in pairs or ()],
        },
    )
    return {Seed(SketchSpec(*row[:5]), row[5]) for row in await cursor.fetchall()}


async def reconcile(
    connection: Connection,
    wanted: Iterable[SketchSpec],
    positions: Mapping[int, int],
    collections: Collection[CollectionKey] | None = None,
) -> None:
    """Make the seeds of the partitions in ``positions`` those of ``wanted``: fill what is new from the documents
    stored before each position, drop what nobody asks for any more. With ``collections`` only those are looked at.
    """
    held = await seeds(connection, positions, collections)
    target = {Seed(spec, partition) for spec in wanted for partition in positions}
    for seed in sorted(held - target):
        await _drop(connection, seed)
    missing: dict[SketchSpec, list[int]] = {}
    for seed in sorted(target - held):
        if await _plant(connection, seed, positions[seed.partition]):
            missing.setdefault(seed.spec, []).append(seed.partition)
    together: dict[tuple[CollectionKey, str, tuple[int, ...]], list[SketchSpec]] = {}
    for spec, partitions in missing.items():
        together.setdefault((spec.collection, spec.feature, tuple(partitions)), []).append(spec)
    for (_, _, among), specs in together.items():
        await _fill(connection, specs, {partition: positions[partition] for partition in among})


async def _drop(connection: Connection, seed: Seed) -> None:
    for table in ("drift_sketches", "drift_seeds"):
        await connection.execute(
            f"DELETE FROM {table} WHERE {_SERIES} AND partition = %s".encode(),
            (*_series(seed.spec), seed.partition),
        )


async def _plant(connection: Connection, seed: Seed, position: int) -> bool:
    planted = await connection.execute(
        "INSERT INTO drift_seeds (namespace_id, collection_id, feature, time_domain, width_seconds, partition,"
        " up_to_offset) VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (*_series(seed.spec), seed.partition, position),
    )
    return planted.rowcount == 1


async def _fill(connection: Connection, specs: Sequence[SketchSpec], positions: Mapping[int, int]) -> None:
    """Series of one thing that is measured, in one pass over the documents."""
    held: Cells = {}
    documents = 0
    async for cells, rows in _stored(connection, specs, positions):
        documents += rows
        for cell, filled in cells.items():
            add(held, cell, filled)
        if len(held) > _HELD:
            await merge_cells(connection, held)
            held = {}
    await merge_cells(connection, held)
    if documents:
        log.info("sketches_seeded", feature=specs[0].feature, documents=documents, partitions=len(positions))


async def _stored(
    connection: Connection, specs: Sequence[SketchSpec], positions: Mapping[int, int]
) -> AsyncIterator[tuple[Cells, int]]:
    """What the documents stored before the positions add, and how many they are, in chunks."""
    spec = specs[0]
    columns, join, value = _reading(spec)
    measuring = Measuring(connection, specs, HashingEmbedder())
    async with connection.cursor(name="seeding") as cursor:
        await cursor.execute(
            f"SELECT d.partition, COALESCE(d.late_at, d.occurred_at), d.appended_at, {columns} FROM documents d"
            " JOIN unnest(%(partitions)s::int[], %(positions)s::bigint[]) AS p (partition, position)"
            f" ON d.partition = p.partition AND d.record_offset < p.position{join}"
            " WHERE d.namespace_id = %(ns)s AND d.collection_id = %(collection)s".encode(),
            {
                "partitions": list(positions.keys()),
                "positions": list(positions.values()),
                "feature": spec.feature,
                "ns": spec.namespace_id,
                "collection": spec.collection_id,
            },
        )
        while rows := await cursor.fetchmany(_CHUNK):
            places = Places(Place(*row[:3]) for row in rows)
            yield await measuring.cells(places, [value(row) for row in rows]), len(rows)


def _reading(spec: SketchSpec) -> tuple[str, str, Callable[[Sequence[Any]], Any]]:
    """Columns that hold what is measured, the join that brings them, and how a row gives it."""
    if spec.measured.kind == "document":
        return "NULL", "", lambda row: None
    if spec.measured.kind != "embedding":
        return "d.payload", "", lambda row: row[3]
    if spec.feature == HashingEmbedder.URI:
        text = "CASE WHEN jsonb_typeof(d.payload -> 'text') = 'string' THEN d.payload ->> 'text' END"
        return f"d.text, {text}", "", lambda row: document_text(row[3], {"text": row[4]})
    # Looked up for each document, which OFFSET 0 keeps: the planner takes tables that have just been filled for
    # short ones, and would hold all documents against all vectors.
    join = (
        " CROSS JOIN LATERAL (SELECT embedding FROM document_vectors WHERE namespace_id = d.namespace_id"
        " AND collection_id = d.collection_id AND feature_uri = %(feature)s AND document_id = d.document_id"
        " OFFSET 0) v"
    )
    return "v.embedding", join, lambda row: row[3].to_numpy()


class Measuring:
    """What documents add to the series of one thing that is measured of a collection."""

    def __init__(self, connection: Connection, specs: Sequence[SketchSpec], embedder: HashingEmbedder) -> None:
        self._connection = connection
        self._specs = specs
        self._embedder = embedder
        self._dimensions = 0

    async def cells(self, places: Places, values: Sequence[Any]) -> Cells:
        """The sketches of documents. ``values``, one for each of ``places``, are payloads for a field, texts for
        the built-in embedder and vectors for another feature; documents are only counted."""
        if not places:
            return {}
        spec, measured = self._specs[0], self._specs[0].measured
        if measured.kind == "document":
            return counted_cells(self._specs, places)
        if measured.kind != "embedding":
            return field_cells(self._specs, places, values, measured)
        if spec.feature == HashingEmbedder.URI:
            return vector_cells(self._specs, places, self._embedder.embed(values))
        self._dimensions = self._dimensions or await feature_dimensions(self._connection, spec, values[0])
        return vector_cells(self._specs, *matching(spec, places, values, self._dimensions))


def matching(
    spec: SketchSpec, places: Places, vectors: Sequence[NDArray[np.float32]], dimensions: int
) -> tuple[Places, NDArray[np.float32]]:
    """The vectors of the feature's dimensions as a matrix. The rest is left out with a warning: the document is
    sound, but it cannot be compared with the others."""
    kept, matrix = fitting(places, vectors, dimensions)
    if len(kept) < len(places):
        log.warning(
            "vectors_not_sketched",
            collection=spec.collection_id,
            feature=spec.feature,
            dimensions=dimensions,
            vectors=len(places) - len(kept),
        )
    return kept, matrix


async def feature_dimensions(connection: Connection, spec: SketchSpec, first: NDArray[np.float32]) -> int:
    """The dimensions of all sketches of a feature of a collection. Where there are none yet, ``first`` decides."""
    query = (
        "SELECT sketch FROM drift_sketches WHERE namespace_id = %s AND collection_id = %s AND feature = %s LIMIT 1"
    )
    feature = (spec.namespace_id, spec.collection_id, spec.feature)
    stored = await fetch_value(connection, query, feature)
    if stored is None:
        # Two workers may both see the first vector: one decides, the other reads what it decided.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", ("\x1f".join(feature),))
        stored = await fetch_value(connection, query, feature)
    return len(first) if stored is None else Sketch.from_bytes(stored).dimensions


async def merge_cells(connection: Connection, cells: Mapping[Cell, Filled]) -> None:
    """Add to the stored rows. The caller holds the positions of their partitions."""
    merged = dict(cells)
    for cell, stored in (await _read(connection, merged)).items():
        merged[cell] = stored.merge(merged[cell])
    written = (
        (
            *(*_series(cell.spec), cell.partition, cell.bucket_start, filled.documents),
            b"" if filled.sketch is None else filled.sketch.to_bytes(),
        )
        for cell, filled in sorted(merged.items(), key=lambda item: item[0])
    )
    await connection.execute(
        "INSERT INTO drift_sketches (namespace_id, collection_id, feature, time_domain, width_seconds, partition,"
        " bucket_start, documents, sketch) SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[],"
        " %s::int[], %s::int[], %s::timestamptz[], %s::bigint[], %b::bytea[])"
        " ON CONFLICT (namespace_id, collection_id, feature, time_domain, width_seconds, bucket_start, partition)"
        " DO UPDATE SET documents = EXCLUDED.documents, sketch = EXCLUDED.sketch",
        columns(written, 9),
    )


async def _read(connection: Connection, cells: Iterable[Cell]) -> Cells:
    """Those of these rows that are stored."""
    wanted = [(*_series(cell.spec), cell.partition, cell.bucket_start) for cell in cells]
    if not wanted:
        return {}
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(
            "SELECT namespace_id, collection_id, feature, time_domain, width_seconds, s.partition, bucket_start,"
            " documents, sketch FROM drift_sketches s JOIN unnest(%s::text[], %s::text[], %s::text[], %s::text[],"
            " %s::int[], %s::int[], %s::timestamptz[]) AS k (namespace_id, collection_id, feature, time_domain,"
            " width_seconds, partition, bucket_start)"
            " USING (namespace_id, collection_id, feature, time_domain, width_seconds, bucket_start, partition)",
            [list(column) for column in zip(*wanted, strict=True)],
        )
        rows: list[tuple[Any, ...]] = await cursor.fetchall()
    return {
        Cell(SketchSpec(*row[:5]), row[5], row[6].astimezone(UTC)): Filled(
            row[7], sketch_from_bytes(row[8]) if row[8] else None
        )
        for row in rows
    }
