"""The rows of cluster runs: what a clustering found and which documents belong to what (contract 4.10)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson
from psycopg.types.json import Jsonb

from streams.act.clustering.assign import Target
from streams.act.clustering.run import LEFT_OUT, NOISE
from streams.act.failures import ActionError
from streams.runtime.database import Connection

Centroids = list[dict[str, Any]]
"""Clusters in the words of contract 4.10, outer ones before those inside them."""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as it was stored."""

    run_id: str
    cluster_id: str
    status: str
    centroids: Centroids


async def store(
    connection: Connection,
    run_id: str,
    mode: str,
    centroids: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, Any] | None,
    positions: Mapping[str, int],
    detail: Mapping[str, Any],
) -> None:
    """Write what a run found. Raises :class:`ActionError` when its cluster was deleted meanwhile."""
    written = await connection.execute(
        "UPDATE cluster_runs SET mode = %s, centroids = %s, metrics = %s, positions = %s, detail = %s,"
        " num_clusters = %s WHERE run_id = %s",
        (
            mode,
            Jsonb(list(centroids), dumps=_dumps),
            None if metrics is None else Jsonb(dict(metrics)),
            Jsonb(dict(positions)),
            Jsonb(dict(detail)),
            len(centroids),
            run_id,
        ),
    )
    if written.rowcount != 1:
        raise ActionError("the cluster was deleted while it ran")


async def add_members(
    connection: Connection,
    run_id: str,
    names: Sequence[tuple[str, str]],
    labels: Sequence[int],
    distances: Sequence[float] | None = None,
) -> None:
    """Write where documents belong: ``labels`` are places among the run's centroids, noise, or left out."""
    statement = (
        b"COPY cluster_members (run_id, collection_id, document_id, cluster, distance) FROM STDIN (FORMAT BINARY)"
    )
    far = distances if distances is not None else [float("nan")] * len(names)
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(("text", "text", "text", "int4", "float4"))
        for (collection, document), label, distance in zip(names, labels, far, strict=True):
            if label != LEFT_OUT:
                away = None if np.isnan(distance) else float(distance)
                await copy.write_row((run_id, collection, document, label, away))


async def missing(connection: Connection, run_id: str, names: Sequence[tuple[str, str]]) -> list[int]:
    """Places in ``names`` of the documents that are no members yet."""
    # Not as a join of two lists: a planner that takes a table just filled for a short one walks their product.
    cursor = await connection.execute(
        "SELECT collection_id, document_id FROM cluster_members WHERE run_id = %s AND collection_id = ANY(%s)"
        " AND document_id = ANY(%s)",
        (run_id, sorted({name[0] for name in names}), [name[1] for name in names]),
    )
    members = set(await cursor.fetchall())
    return [place for place, name in enumerate(names) if name not in members]


async def add_members_of(connection: Connection, run_id: str, mapping: Sequence[tuple[str, int, int]]) -> None:
    """Make the members of clusters of other runs members of this one's: ``(run, its cluster, cluster here)``. A
    document of several of them goes where the first of those runs says."""
    await connection.execute(
        "INSERT INTO cluster_members (run_id, collection_id, document_id, cluster)"
        " SELECT DISTINCT ON (m.collection_id, m.document_id) %s, m.collection_id, m.document_id, taken.here"
        " FROM unnest(%s::text[], %s::int[], %s::int[]) WITH ORDINALITY AS taken(run, there, here, place)"
        " JOIN cluster_members m ON m.run_id = taken.run AND m.cluster = taken.there"
        " ORDER BY m.collection_id, m.document_id, taken.place",
        (run_id, [item[0] for item in mapping], [item[1] for item in mapping], [item[2] for item in mapping]),
    )


async def counted(connection: Connection, run_id: str) -> tuple[Centroids, dict[int, int]]:
    """The centroids of a run with the members each has now, and the members by label. Raises
    :class:`ActionError` when its cluster was deleted meanwhile."""
    cursor = await connection.execute("SELECT centroids FROM cluster_runs WHERE run_id = %s", (run_id,))
    row = await cursor.fetchone()
    if row is None:
        raise ActionError("the cluster was deleted while it ran")
    cursor = await connection.execute(
        "SELECT cluster, count(*) FROM cluster_members WHERE run_id = %s GROUP BY 1", (run_id,)
    )
    members: dict[int, int] = dict(await cursor.fetchall())
    return _counted(row[0], members), members


async def complete(connection: Connection, run_id: str, now: datetime) -> tuple[int, int]:
    """Count the members and call the run completed. Gives the numbers of clusters and of points."""
    centroids, members = await counted(connection, run_id)
    points = sum(members.values())
    noise = members.get(NOISE, 0) / points if points else 0.0
    await connection.execute(
        "UPDATE cluster_runs SET status = 'completed', completed_at = %s, num_points = %s, centroids = %s,"
        " metrics = coalesce(metrics, '{}') || %s WHERE run_id = %s",
        (now, points, Jsonb(centroids, dumps=_dumps), Jsonb({"noise_ratio": noise}), run_id),
    )
    return len(centroids), points


def _counted(centroids: Centroids, counts: Mapping[int, int]) -> Centroids:
    """The centroids with ``num_members``: the documents in each cluster and in those inside it."""
    members = {centroid["cluster_id"]: counts.get(place, 0) for place, centroid in enumerate(centroids)}
    for centroid in reversed(centroids):
        if (parent := centroid.get("parent_cluster_id")) is not None:
            members[parent] += members[centroid["cluster_id"]]
    return [{**centroid, "num_members": members[centroid["cluster_id"]]} for centroid in centroids]


async def forget_old(connection: Connection, cluster_id: str, keep: int, ending: str) -> int:
    """Delete the ended runs of a cluster behind the newest ``keep``, with their members; ``ending`` is the run
    that ends with this transaction. Gives their number."""
    deleted = await connection.execute(
        "DELETE FROM cluster_runs WHERE run_id IN (SELECT r.run_id FROM cluster_runs r"
        " LEFT JOIN jobs j ON j.job_id = r.job_id WHERE r.cluster_id = %s"
        " AND (coalesce(j.status, r.status) NOT IN ('pending', 'processing') OR r.run_id = %s)"
        " ORDER BY r.created_at DESC, r.run_id DESC OFFSET %s)",
        (cluster_id, ending, keep),
    )
    return deleted.rowcount


async def run_named(connection: Connection, namespace_id: str, run_id: str) -> StoredRun | None:
    """A run by id."""
    cursor = await connection.execute(
        "SELECT run_id, cluster_id, status, centroids FROM cluster_runs WHERE namespace_id = %s AND run_id = %s",
        (namespace_id, run_id),
    )
    row = await cursor.fetchone()
    return None if row is None else StoredRun(*row)


async def newest_run(connection: Connection, namespace_id: str, cluster_id: str) -> StoredRun | None:
    """The newest completed run of a cluster that found any."""
    cursor = await connection.execute(
        "SELECT run_id, cluster_id, status, centroids FROM cluster_runs WHERE namespace_id = %s"
        " AND cluster_id = %s AND status = 'completed' AND num_clusters > 0"
        " ORDER BY created_at DESC, run_id DESC LIMIT 1",
        (namespace_id, cluster_id),
    )
    row = await cursor.fetchone()
    return None if row is None else StoredRun(*row)


def target_of(centroids: Centroids, *, radii: bool = False, threshold: float | None = None) -> Target:
    """The innermost clusters of a run, for documents to be held against."""
    outer = {centroid.get("parent_cluster_id") for centroid in centroids}
    inner = [place for place, centroid in enumerate(centroids) if centroid["cluster_id"] not in outer]
    vectors = [centroids[place]["centroid_vector"] for place in inner]
    return Target(
        np.asarray(vectors, dtype=np.float32).reshape(len(inner), -1),
        np.asarray(inner, dtype=np.int32),
        np.asarray([centroids[place]["radius"] for place in inner], dtype=np.float32) if radii else None,
        threshold,
    )


def _dumps(value: object) -> bytes:
    # Writes float32 with as many digits as it has.
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
