"""Action ``cluster``: group the documents of some collections and store the run (contract 4.8, 4.10)."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import orjson
from psycopg.types.json import Jsonb

from schemas.ids import derived_id
from streams.act.actions.action import Finish
from streams.act.actions.documents import Documents, Selection, features, positions, read_texts, read_vectors
from streams.act.clustering.plan import Plan, plan_of_cluster, plan_of_execution
from streams.act.clustering.points import Points
from streams.act.clustering.run import LEFT_OUT, Cluster, Clustering, cluster_points
from streams.act.failures import ActionError
from streams.act.lease import Job
from streams.act.outcome import Outcome
from streams.act.work import Work
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.runtime.database import Connection
from streams.runtime.definitions import find_definition


@dataclass(frozen=True, slots=True)
class Reading:
    """What stays in the worker while the child computes."""

    cluster_id: str
    plan: Plan
    names: list[tuple[str, str]]
    positions: dict[str, int]


async def run(work: Work) -> Finish:
    """Read, cluster in a child process, and store the run. Raises :class:`ActionError` when there is nothing to
    cluster, or the definition asks for what this version does not do."""
    async with work.read() as connection:
        points, reading = await _read(connection, work.job)
    found = await work.compute(cluster_points, (reading.plan, points))

    async def finish(connection: Connection, now: datetime) -> Outcome:
        return await _store(connection, work.job, reading, found, now)

    return finish


async def _read(connection: Connection, job: Job) -> tuple[Points, Reading]:
    command = job.command
    cluster_id, plan = await _plan(connection, job)
    selection = Selection(command.namespace_id, plan.collection_ids, command.until, plan.filter)
    if plan.feature_uri in (None, HashingEmbedder.URI):
        documents = await read_texts(connection, selection)
    else:
        documents = await read_vectors(connection, selection, plan.feature_uri or "")
    if not documents.names or (documents.vectors is None and not any(documents.texts)):
        raise ActionError(await _nothing(connection, selection, plan, documents))
    points = Points(
        [f"{collection}/{document}" for collection, document in documents.names],
        documents.texts,
        documents.vectors,
        plan.normalize,
    )
    reading = Reading(cluster_id, plan, documents.names, await positions(connection, selection))
    return points, reading


async def _plan(connection: Connection, job: Job) -> tuple[str, Plan]:
    command, config = job.command, job.command.action_config
    if cluster_id := config.get("cluster_id"):
        cluster = await find_definition(connection, "cluster", command.namespace_id, str(cluster_id))
        if cluster is None:
            raise ActionError(f"cluster {cluster_id} does not exist")
        return cluster.record.id, plan_of_cluster(cluster.body, config)
    execution = config.get("execution_config")
    if not isinstance(execution, dict):
        raise ActionError("the action names neither a cluster_id nor an execution_config")
    # A trigger with a configuration of its own has one series of runs, under an id of the same shape.
    return derived_id("clust_", command.trigger_id), plan_of_execution(execution)


async def _nothing(connection: Connection, selection: Selection, plan: Plan, documents: Documents) -> str:
    what = "a text" if documents.vectors is None else f"the feature {plan.feature_uri}"
    when = "" if selection.until is None else f" from before {selection.until:%Y-%m-%dT%H:%M:%SZ}"
    if selection.filter is not None:
        when += " that fits the filters"
    known = await features(connection, selection)
    hint = f"; features that came with them: {', '.join(known)}" if known else ""
    return f"no document{when} in {', '.join(selection.collection_ids)} has {what}{hint}"


async def _store(connection: Connection, job: Job, kept: Reading, result: Clustering, now: datetime) -> Outcome:
    """Write the run and its members."""
    run_id = derived_id("run_", job.job_id)
    await connection.execute(
        "INSERT INTO cluster_runs (run_id, cluster_id, namespace_id, job_id, status, num_clusters, num_points,"
        " metrics, centroids, positions, created_at, completed_at)"
        " VALUES (%s, %s, %s, %s, 'completed', %s, %s, %s, %s, %s, %s, %s)",
        (
            run_id,
            kept.cluster_id,
            job.command.namespace_id,
            job.job_id,
            len(result.clusters),
            result.points,
            Jsonb(result.metrics),
            Jsonb(list(_centroids(result)), dumps=_dumps),
            Jsonb(kept.positions),
            job.started_at,
            now,
        ),
    )
    async with connection.cursor() as cursor:
        statement = (
            b"COPY cluster_members (run_id, collection_id, document_id, cluster) FROM STDIN (FORMAT BINARY)"
        )
        async with cursor.copy(statement) as copy:
            copy.set_types(("text", "text", "text", "int4"))
            for (collection, document), label in zip(kept.names, result.labels.tolist(), strict=True):
                if label != LEFT_OUT:
                    await copy.write_row((run_id, collection, document, label))
    facts = {
        "run_id": run_id,
        "cluster_id": kept.cluster_id,
        "method": kept.plan.method,
        "num_documents": len(kept.names),
        "num_points": result.points,
        "fitted_points": result.fitted,
        "metrics": result.metrics,
        "positions": kept.positions,
    }
    return Outcome(num_clusters=len(result.clusters), num_documents=result.points, facts=facts)


def _centroids(result: Clustering) -> Iterator[dict[str, Any]]:
    """Centroids in the words of contract 4.10."""
    for cluster, vector in zip(result.clusters, result.centroids, strict=True):
        yield {**_told(cluster), "centroid_vector": vector}


def _told(cluster: Cluster) -> dict[str, Any]:
    fields = asdict(cluster)
    return {
        "cluster_id": str(fields.pop("number")),
        "num_members": fields.pop("members"),
        "summary": fields.pop("title"),
        **fields,
    }


def _dumps(value: object) -> bytes:
    # Writes float32 with as many digits as it has.
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
