"""Vectors of large collections in approximate indexes: which there are, what they nominate, what came since.

A segment is a table with an HNSW index (Malkov and Yashunin 2018), written once: inserting into one takes
hundreds of times as long as storing the vector. Documents that came or changed since have an offset that no
segment reaches, and are searched exactly beside them; what a segment says of a document that has changed or gone
is only a nomination.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from psycopg.types.json import Jsonb

from streams.engines.retrieval.execution.corpus import Nearest
from streams.retrieval.reading import OF, Stored
from streams.runtime.database import Connection

MAX_NOMINEES: Final = 10_000
"""Nominees of one search beyond which comparing every document that fits is faster."""
_EF_SEARCH: Final = (100, 1_000)
"""Candidates held while an index is searched: at least, and at most what pgvector takes."""

SINCE: Final = (
    "d.namespace_id = %(namespace)s AND d.collection_id = %(collection)s AND d.record_offset >= %(least)s"
    " AND d.record_offset >= COALESCE((%(until)s::jsonb ->> d.partition::text)::bigint, 0)"
)
"""A condition on the last version of a document, with the values of :func:`since`."""


@dataclass(frozen=True, slots=True)
class Segments:
    """The segments of one feature of a collection."""

    stored: Stored
    collection_id: str
    ids: tuple[int, ...]
    vectors: int
    dimensions: int
    until: Mapping[str, int]
    """Source partition → the offset up to which documents are in them."""
    now: Mapping[str, int]
    """Source partition → the offset up to which documents have been collected."""

    async def since(self) -> list[str]:
        """Ids of the documents that came or changed since."""
        rows = await _since(self.stored, self.collection_id, self.until, self.now, "d.document_id")
        return [row[0] for row in rows]

    async def nominated(self, asked: Nearest, count: int) -> tuple[list[str], bool]:
        """About ``count`` documents of each segment nearest to each query, and whether these are all that the
        indexes give."""
        connection = self.stored.connection
        await _prepare(connection, count)
        found: dict[str, None] = {}
        most = 0
        for segment_id in self.ids:
            for query in asked.queries:
                cursor = await connection.execute(
                    f"SELECT document_id FROM {table_of(segment_id)} ORDER BY embedding <#>"
                    f" %(query)s::vector::halfvec({self.dimensions}) LIMIT %(count)s".encode(),
                    {"query": query.astype(np.float32), "count": count},
                )
                rows = await cursor.fetchall()
                most = max(most, len(rows))
                found.update(dict.fromkeys(row[0] for row in rows))
        return list(found), most < count


async def segments(
    stored: Stored, collection_id: str, features: Sequence[str], dimensions: int
) -> Segments | None:
    """The segments of a collection's feature; ``None`` where there are none, where several features may be meant,
    or where the log has gone back behind them."""
    if len(features) != 1:
        return None
    cursor = await stored.connection.execute(
        f"SELECT segment_id, vectors, until FROM vector_segments WHERE {OF} AND feature_uri = %(feature)s"
        " AND dimensions = %(dimensions)s AND retired_at IS NULL ORDER BY segment_id".encode(),
        {**stored.parameters(collection_id), "feature": features[0], "dimensions": dimensions},
    )
    rows = await cursor.fetchall()
    if not rows:
        return None
    until: dict[str, int] = rows[-1][2]
    now = await offsets(stored, collection_id)
    if any(now.get(partition, 0) < offset for partition, offset in until.items()):
        return None
    ids = tuple(int(row[0]) for row in rows)
    return Segments(stored, collection_id, ids, sum(row[1] for row in rows), dimensions, until, now)


def table_of(segment_id: int) -> str:
    """The name of a segment's table."""
    return f"vector_segment_{segment_id:d}"


async def offsets(stored: Stored, collection_id: str) -> dict[str, int]:
    """Source partition → the offset after the last record of a collection."""
    cursor = await stored.connection.execute(
        f"SELECT partition, next_offset FROM collection_counters WHERE {OF}".encode(),
        stored.parameters(collection_id),
    )
    return {str(partition): int(offset) for partition, offset in await cursor.fetchall()}


async def count_since(stored: Stored, collection_id: str, until: Mapping[str, int]) -> int:
    """How many documents have a last version that came after some offsets."""
    rows = await _since(stored, collection_id, until, await offsets(stored, collection_id), "count(*)")
    return int(rows[0][0]) if rows else 0


async def _since(
    stored: Stored, collection_id: str, until: Mapping[str, int], now: Mapping[str, int], shown: str
) -> list[Any]:
    behind = [until.get(partition, 0) for partition, offset in now.items() if offset > until.get(partition, 0)]
    if not behind:
        return []
    cursor = await stored.connection.execute(
        f"SELECT {shown} FROM documents d WHERE {SINCE}".encode(),
        {**stored.parameters(collection_id), **since(until, min(behind))},
    )
    return await cursor.fetchall()


def since(until: Mapping[str, int], least: int = 0) -> dict[str, Any]:
    """Values for :data:`SINCE`; ``least`` is the smallest offset that can be meant."""
    return {"least": least, "until": Jsonb(dict(until))}


async def _prepare(connection: Connection, count: int) -> None:
    """Settings of this transaction for searches of indexes: where the first pass gives too few, go on."""
    least, most = _EF_SEARCH
    await connection.execute(
        "SELECT set_config('hnsw.ef_search', %s, true), set_config('hnsw.iterative_scan', 'relaxed_order', true),"
        " set_config('hnsw.max_scan_tuples', %s, true)",
        (str(min(most, max(least, count))), str(4 * MAX_NOMINEES)),
    )
