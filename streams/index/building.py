"""Segments built, replaced and dropped, each in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from psycopg.types.json import Jsonb

from streams.index.policy import LARGE, Standing, decide
from streams.retrieval.reading import OF, Stored
from streams.retrieval.segments import SINCE, count_since, offsets, since, table_of
from streams.runtime.database import Connection, Database, fetch_value

log = structlog.get_logger(__name__)

MAX_DIMENSIONS: Final = 4_000
"""What pgvector can index of half floats; features of more are searched exactly."""
KEPT: Final = timedelta(minutes=5)
"""How long a retired segment is kept: longer than any execution that may read it."""
_LOCK: Final = 7_431_024
_SAMPLE: Final = 1_000
_MEMORY: Final = "256MB"
"""While an index is built; what needs more is built more slowly."""

_COLLECTIONS = (
    "SELECT namespace_id, collection_id FROM collection_counters GROUP BY 1, 2 HAVING sum(added - deleted) >= %s"
    " UNION SELECT namespace_id, collection_id FROM vector_segments WHERE retired_at IS NULL ORDER BY 1, 2"
)
_OF_FEATURE = f"{OF} AND feature_uri = %(feature)s"


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of a collection."""

    namespace_id: str
    collection_id: str
    uri: str


class Builder:
    """Keeps segments as :func:`streams.index.policy.decide` says."""

    def __init__(self, database: Database, large: int = LARGE) -> None:
        self._database = database
        self._large = large

    async def tick(self, now: datetime) -> int:
        """Look at every large collection once. Returns how many segments were built."""
        if not await self._supported():
            return 0
        await self._drop(now)
        built = 0
        for feature in await self._features():
            built += await self._keep(feature, now)
        if built:
            async with self._database.connection() as connection:
                await connection.execute("SELECT brin_summarize_new_values('documents_offset')")
        return built

    async def _supported(self) -> bool:
        async with self._database.connection() as connection:
            version = await fetch_value(connection, "SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        return version is not None and tuple(map(int, version.split(".")[:2])) >= (0, 8)

    async def _features(self) -> list[Feature]:
        found: list[Feature] = []
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_COLLECTIONS, (self._large,))).fetchall()
            for namespace_id, collection_id in rows:
                names = await Stored(connection, namespace_id).feature_names(collection_id)
                indexed = await connection.execute(
                    "SELECT DISTINCT feature_uri FROM vector_segments WHERE namespace_id = %s"
                    " AND collection_id = %s AND retired_at IS NULL",
                    (namespace_id, collection_id),
                )
                names += [row[0] for row in await indexed.fetchall()]
                found += [Feature(namespace_id, collection_id, name) for name in sorted(set(names))]
        return found

    async def _keep(self, feature: Feature, now: datetime) -> bool:
        """Do for one feature what is to be done. Returns whether a segment was built."""
        async with self._database.transaction(snapshot=True) as connection:
            # Of several workers one builds.
            if not await fetch_value(connection, "SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,)):
                return False
            stored = Stored(connection, feature.namespace_id)
            parameters = {**stored.parameters(feature.collection_id), "feature": feature.uri}
            standing, until = await _standing(stored, feature.collection_id, parameters)
            what = decide(standing, self._large)
            if what == "nothing":
                return False
            if what != "add":
                await connection.execute(
                    f"UPDATE vector_segments SET retired_at = %(now)s WHERE {_OF_FEATURE}"
                    " AND retired_at IS NULL".encode(),
                    {**parameters, "now": now},
                )
            if what == "retire":
                return False
            return await self._build(stored, feature, parameters, until if what == "add" else {}, now)

    async def _build(
        self,
        stored: Stored,
        feature: Feature,
        parameters: Mapping[str, Any],
        until: Mapping[str, int],
        now: datetime,
    ) -> bool:
        connection = stored.connection
        dimensions = await fetch_value(
            connection,
            "SELECT mode() WITHIN GROUP (ORDER BY vector_dims(embedding)) FROM (SELECT embedding"
            f" FROM document_vectors WHERE {_OF_FEATURE} LIMIT {_SAMPLE}) AS sample",
            parameters,
        )
        if dimensions is None or dimensions > MAX_DIMENSIONS:
            return False
        reached = await offsets(stored, feature.collection_id)
        segment_id = await fetch_value(
            connection, "SELECT nextval(pg_get_serial_sequence('vector_segments', 'segment_id'))"
        )
        table = table_of(segment_id)
        # Workers of the server share memory that a container seldom has enough of.
        await connection.execute(
            "SELECT set_config('maintenance_work_mem', %s, true),"
            " set_config('max_parallel_maintenance_workers', '0', true)",
            (_MEMORY,),
        )
        await connection.execute(
            f"CREATE TABLE {table} (document_id text NOT NULL,"
            f" embedding halfvec({dimensions:d}) NOT NULL)".encode()
        )
        filled = await connection.execute(
            f"INSERT INTO {table} SELECT v.document_id, l2_normalize(v.embedding)::halfvec({dimensions:d})"
            " FROM document_vectors v JOIN documents d USING (namespace_id, collection_id, document_id)"
            f" WHERE {SINCE} AND v.namespace_id = %(namespace)s AND v.collection_id = %(collection)s"
            " AND v.feature_uri = %(feature)s AND vector_dims(v.embedding) = %(dimensions)s"
            " AND vector_norm(v.embedding) > 0".encode(),
            {**parameters, **since(until), "dimensions": dimensions},
        )
        await connection.execute(f"CREATE INDEX ON {table} USING hnsw (embedding halfvec_ip_ops)".encode())
        await connection.execute(f"ANALYZE {table}".encode())
        await connection.execute(
            "INSERT INTO vector_segments (segment_id, namespace_id, collection_id, feature_uri, dimensions,"
            " vectors, until, built_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            (
                segment_id,
                feature.namespace_id,
                feature.collection_id,
                feature.uri,
                dimensions,
                filled.rowcount,
                Jsonb(reached),
                now,
            ),
        )
        log.info("segment_built", collection=feature.collection_id, vectors=filled.rowcount, replaced=not until)
        return True

    async def _drop(self, now: datetime) -> None:
        async with self._database.connection() as connection:
            rows = await connection.execute(
                "SELECT segment_id FROM vector_segments WHERE retired_at < %s", (now - KEPT,)
            )
            old = [row[0] for row in await rows.fetchall()]
        for segment_id in old:
            async with self._database.transaction() as connection:
                await connection.execute(f"DROP TABLE IF EXISTS {table_of(segment_id)}".encode())
                await connection.execute("DELETE FROM vector_segments WHERE segment_id = %s", (segment_id,))


async def _standing(
    stored: Stored, collection_id: str, parameters: Mapping[str, Any]
) -> tuple[Standing, Mapping[str, int]]:
    """How a feature stands, and up to where its documents are in segments."""
    connection: Connection = stored.connection
    rows = await (
        await connection.execute(
            f"SELECT vectors, until FROM vector_segments WHERE {_OF_FEATURE} AND retired_at IS NULL"
            " ORDER BY segment_id".encode(),
            parameters,
        )
    ).fetchall()
    documents = await fetch_value(
        connection, f"SELECT sum(added - deleted)::bigint FROM collection_counters WHERE {OF}", parameters
    )
    until: Mapping[str, int] = rows[-1][1] if rows else {}
    came = await count_since(stored, collection_id, until) if rows else int(documents or 0)
    return Standing(int(documents or 0), len(rows), sum(row[0] for row in rows), came), until
