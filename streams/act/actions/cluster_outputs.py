"""What a run writes elsewhere: its labels into the documents, its clusters into collections as documents."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import numpy as np

from schemas.events.document import DELETED, UPSERTED, DocumentEvent
from schemas.ids import derived_id
from streams.act.actions.cluster_vectors import Run
from streams.act.actions.resources import written_to
from streams.act.clustering.plan import Source as Documents
from streams.act.clustering.run import NOISE
from streams.act.failures import ActionError
from streams.act.lease import Job
from streams.act.rewriting import Made, causes_of, rewritten
from streams.act.runs import counted, run_named
from streams.act.walk import Found, Source
from streams.act.work import Work
from streams.engines.retrieval.stages.values import nest
from streams.runtime.database import Connection
from streams.runtime.writes import DocumentTooLargeError, queue_writes, write_of

_PAGE: Final = 1_000
_MEMBERS: Final = """
SELECT m.collection_id, m.document_id, m.cluster, m.distance
FROM unnest(%s::text[], %s::text[]) AS wanted(c, d)
JOIN cluster_members m ON m.run_id = %s AND m.collection_id = wanted.c AND m.document_id = wanted.d
"""


async def enrich_documents(
    work: Work, run: Run, documents: Documents, mappings: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """Write what the run says of each document into it, a page a step; a document that says so already is left.

    Gives what was done. Raises :class:`ActionError` when no document could be written to.
    """
    command = work.job.command
    async with work.read() as connection:
        centroids, _ = await counted(connection, run.run_id)
        for collection_id in documents.collection_ids:
            await written_to(connection, command.namespace_id, collection_id)

    async def make(found: Sequence[Found]) -> list[Made]:
        async with work.read() as connection:
            members = await _members(connection, run.run_id, found)
        return [_made(one, members.get(_name(one)), centroids, mappings, run) for one in found]

    sources = [
        Source(command.namespace_id, collection_id, command.until, documents.filter)
        for collection_id in documents.collection_ids
    ]
    outcome = await rewritten(work, sources, _PAGE, make)
    if outcome.error is not None:
        raise ActionError(
            f"the clusters were stored, but could not be written into the documents: {outcome.error}"
        )
    return dict(outcome.facts or {})


def _name(one: Found) -> tuple[str, str]:
    return one.event.collection_id, one.event.document_id


async def _members(
    connection: Connection, run_id: str, found: Sequence[Found]
) -> dict[tuple[str, str], tuple[int, float | None]]:
    cursor = await connection.execute(
        _MEMBERS,
        ([_name(one)[0] for one in found], [_name(one)[1] for one in found], run_id),
    )
    return {(row[0], row[1]): (row[2], row[3]) for row in await cursor.fetchall()}


def _made(
    one: Found,
    member: tuple[int, float | None] | None,
    centroids: Sequence[Mapping[str, Any]],
    mappings: Sequence[Mapping[str, str]],
    run: Run,
) -> Made:
    if member is None:
        return Made(matched=False)
    payload = one.event.payload
    if payload is not None and not isinstance(payload, dict):
        return Made(problem="its payload is no object, so it has no fields to write to")
    said = said_of(member, centroids, run)
    written = dict(payload or {})
    for mapping in mappings:
        written = nest(written, mapping["target_field"], said[mapping["source_field"]])
    if written == payload:
        return Made()
    return Made(replace(one.event, payload=written), one.version)


def said_of(member: tuple[int, float | None], centroids: Sequence[Mapping[str, Any]], run: Run) -> dict[str, Any]:
    """What a run says of one of its members, by the names that may be written into documents."""
    place, distance = member
    cluster = centroids[place] if place != NOISE else {"cluster_id": str(NOISE)}
    return {
        "cluster_id": cluster["cluster_id"],
        "cluster_label": cluster.get("label"),
        "distance_to_centroid": distance,
        "member_count": cluster.get("num_members"),
        "keywords": cluster.get("keywords"),
        "summary": cluster.get("summary"),
        "run_id": run.run_id,
    }


async def write_outputs(
    connection: Connection, job: Job, run: Run, collections: Sequence[str], now: datetime
) -> dict[str, Any]:
    """Write each cluster of the run as a document into the output collections, in the transaction of the outcome:
    ``<cluster>_<number>``, over those of the run before. Those of clusters that are no more are deleted."""
    namespace_id = job.command.namespace_id
    stored = await run_named(connection, namespace_id, run.run_id)
    assert stored is not None
    causes = causes_of(job)
    deleted = 0
    for named in collections:
        collection_id = await written_to(connection, namespace_id, named)
        events = [_output(job, run, collection_id, centroid, now) for centroid in stored.centroids]
        gone = await _gone(connection, run, collection_id, {event.document_id for event in events}, job, now)
        deleted += len(gone)
        try:
            await queue_writes(connection, [write_of(event) for event in [*events, *gone]], causes)
        except DocumentTooLargeError as error:
            raise ActionError(f"a cluster cannot be written into {collection_id}: {error}") from error
    return {"collection_ids": list(collections), "written": len(stored.centroids), "deleted": deleted}


def _output(job: Job, run: Run, collection_id: str, centroid: Mapping[str, Any], now: datetime) -> DocumentEvent:
    document_id = f"{run.cluster_id}_{centroid['cluster_id']}"
    text = " ".join(filter(None, (centroid.get("label"), centroid.get("summary"))))
    told = {name: value for name, value in centroid.items() if name not in ("centroid_vector", "radius")}
    vector = centroid.get("centroid_vector")
    uris = (run.definition.get("vector_config") or {}).get("feature_uris") or []
    single = uris[0] if len(uris) == 1 else (run.definition.get("vector_config") or {}).get("feature_uri")
    return DocumentEvent(
        UPSERTED,
        job.command.namespace_id,
        collection_id,
        document_id,
        now,
        payload={**told, "source_cluster_id": run.cluster_id, "run_id": run.run_id},
        text=text,
        # A centroid of several features lies in none of theirs.
        features={single: np.asarray(vector, dtype=np.float32)} if vector is not None and single else {},
        event_id=derived_id("evt_", job.job_id, collection_id, document_id),
    )


async def _gone(
    connection: Connection, run: Run, collection_id: str, kept: set[str], job: Job, now: datetime
) -> list[DocumentEvent]:
    namespace_id = job.command.namespace_id
    cursor = await connection.execute(
        "SELECT document_id FROM documents WHERE namespace_id = %s AND collection_id = %s"
        " AND starts_with(document_id, %s) AND payload->>'source_cluster_id' = %s ORDER BY 1",
        (namespace_id, collection_id, f"{run.cluster_id}_", run.cluster_id),
    )
    return [
        DocumentEvent(
            DELETED,
            namespace_id,
            collection_id,
            document_id,
            now,
            event_id=derived_id("evt_", job.job_id, collection_id, document_id),
        )
        for (document_id,) in await cursor.fetchall()
        if document_id not in kept
    ]
