"""Clustering on top of earlier runs: documents into clusters that are there, and clusters of clusters."""

from typing import Any

import numpy as np

from streams.act.actions.cluster_vectors import Run, described, give_the_rest, selection_of
from streams.act.actions.documents import names, positions
from streams.act.clustering.plan import Plan
from streams.act.clustering.points import Points
from streams.act.clustering.run import NOISE, Clustering, cluster_points
from streams.act.failures import ActionError
from streams.act.runs import StoredRun, add_members_of, newest_run, run_named, store
from streams.act.work import Work
from streams.runtime.database import Connection


async def assign_documents(work: Work, run: Run, plan: Plan) -> dict[str, Any]:
    """Mode ``assign``: the clusters of the newest run (or of the one named), every document given to the one of
    the greatest cosine similarity, or to none when that is under ``assignment_threshold``."""
    config, namespace_id = work.job.command.action_config, work.job.command.namespace_id
    threshold = config.get("assignment_threshold")
    selection = selection_of(work.job, plan)
    if work.checkpoint is None:
        named = config.get("source_execution_ids") or []
        async with work.read() as connection:
            if named:
                origin = await _completed(connection, namespace_id, str(named[0]))
            elif (newest := await newest_run(connection, namespace_id, run.cluster_id)) is not None:
                origin = newest
            else:
                raise ActionError(
                    "mode assign needs an earlier run with clusters; run the cluster in mode full first"
                )
            where = await positions(connection, selection)
            count = 0
            async for _ in names(connection, selection):
                count += 1
        facts = {"method": plan.method, "num_documents": count, "source_run_id": origin.run_id, "positions": where}
        saved = {"facts": facts, "after": None, "done": False, "seen": 0}
        async with work.step(
            saved, 0.1, f"the {len(origin.centroids):,} clusters of {origin.run_id}"
        ) as connection:
            detail = {"source_execution_ids": [origin.run_id]}
            await store(connection, run.run_id, run.mode, origin.centroids, None, where, detail)
    facts = dict((work.checkpoint or {})["facts"])
    await give_the_rest(work, run, plan, selection, threshold=0.5 if threshold is None else float(threshold))
    return facts


async def compose_runs(work: Work, run: Run, plan: Plan) -> dict[str, Any]:
    """Mode ``composite``: the centroids of two or more runs are clustered; documents follow their clusters."""
    if work.checkpoint is not None:
        return dict(work.checkpoint["facts"])
    async with work.read() as connection:
        sources = await _sources(connection, work, run)
    sizes = {len(centroid["centroid_vector"]) for source in sources for centroid in source.centroids}
    if len(sizes) > 1:
        raise ActionError(f"the runs have centroids of several dimensions: {', '.join(map(str, sorted(sizes)))}")
    flat = [
        (source.run_id, place, centroid)
        for source in sources
        for place, centroid in enumerate(source.centroids)
        if centroid.get("level", 1) == 1
    ]
    points = Points(
        [f"{source}/{centroid['cluster_id']}" for source, _, centroid in flat],
        [" ".join(centroid.get("keywords") or [centroid.get("label") or ""]) for _, _, centroid in flat],
        [np.asarray([centroid["centroid_vector"] for _, _, centroid in flat], dtype=np.float32)],
        normalize=False,
    )
    found: Clustering = await work.compute(cluster_points, (plan, points), span=(0.1, 0.9))
    mapping: dict[str, list[dict[str, Any]]] = {cluster.id: [] for cluster in found.clusters}
    taken: list[tuple[str, int, int]] = []
    for (source, place, centroid), label in zip(flat, found.labels.tolist(), strict=True):
        taken += [(source, inner, label) for inner in _inside(sources, source, place)]
        if label != NOISE:
            told = {"source_run_id": source, "original_cluster_id": centroid["cluster_id"]}
            mapping[found.clusters[label].id].append({**told, "num_members": centroid["num_members"]})
    facts = {
        "method": plan.method,
        "num_documents": sum(centroid["num_members"] for _, _, centroid in flat),
        "num_centroids": len(flat),
        "source_execution_ids": [source.run_id for source in sources],
        "metrics": found.metrics,
    }
    detail = {"source_execution_ids": facts["source_execution_ids"], "composite_mapping": mapping}
    async with work.step({"facts": facts}, 1.0, f"stored {len(found.clusters):,} clusters") as connection:
        centroids = described(found, [centroid["num_members"] for _, _, centroid in flat])
        await store(connection, run.run_id, run.mode, centroids, found.metrics, {}, detail)
        await add_members_of(connection, run.run_id, taken)
    return facts


def _inside(sources: list[StoredRun], run_id: str, place: int) -> list[int]:
    """The places of a cluster and of those inside it: documents are members of the innermost."""
    centroids = next(source.centroids for source in sources if source.run_id == run_id)
    ids = {centroids[place]["cluster_id"]}
    found = []
    for number, centroid in enumerate(centroids):
        if centroid["cluster_id"] in ids or centroid.get("parent_cluster_id") in ids:
            ids.add(centroid["cluster_id"])
            found.append(number)
    return found


async def _sources(connection: Connection, work: Work, run: Run) -> list[StoredRun]:
    namespace_id = work.job.command.namespace_id
    named = list(dict.fromkeys(work.job.command.action_config.get("source_execution_ids") or ()))
    if named:
        found = [await _completed(connection, namespace_id, str(run_id)) for run_id in named]
    else:
        newest = [
            (cluster_id, await newest_run(connection, namespace_id, cluster_id))
            for cluster_id in run.definition.get("source_cluster_ids") or ()
        ]
        if missing := [cluster_id for cluster_id, source in newest if source is None]:
            raise ActionError(f"no completed run with clusters of {', '.join(missing)}; run them first")
        found = [source for _, source in newest if source is not None]
    if len(found) < 2:
        raise ActionError("mode composite needs two or more runs: name them in source_execution_ids")
    return found


async def _completed(connection: Connection, namespace_id: str, run_id: str) -> StoredRun:
    found = await run_named(connection, namespace_id, run_id)
    if found is None:
        raise ActionError(f"there is no run {run_id}; runs behind the newest are deleted in time")
    if found.status != "completed" or not found.centroids or "centroid_vector" not in found.centroids[0]:
        raise ActionError(f"run {run_id} is not a completed one with centroids")
    return found
