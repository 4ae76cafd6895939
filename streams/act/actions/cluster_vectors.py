"""Clustering documents by their vectors: a sample is fitted, the rest goes to its clusters."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.features import HASHING
from streams.act.actions.documents import (
    Documents,
    Selection,
    dimensions,
    features,
    names,
    positions,
    read,
    read_after,
)
from streams.act.clustering.algorithms import method_named
from streams.act.clustering.assign import Assigned, Target, assign_points
from streams.act.clustering.plan import Plan
from streams.act.clustering.points import Draw, Points
from streams.act.clustering.run import Clustering, cluster_points
from streams.act.failures import ActionError
from streams.act.lease import Job
from streams.act.runs import add_members, missing, run_named, store, target_of
from streams.act.work import Work
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.runtime.database import Connection

BLOCK: Final = 10_000
"""Documents outside the sample that are read and written at a time."""
_FITTED: Final = 0.8


@dataclass(frozen=True, slots=True)
class Run:
    """The run that is being made."""

    run_id: str
    cluster_id: str
    mode: str
    definition: Mapping[str, Any]


async def cluster_documents(work: Work, run: Run, plan: Plan) -> dict[str, Any]:
    """Fit the plan's method on as many documents as it can take, store what it found, and give the other documents
    to the nearest cluster. Gives what is told of it."""
    selection = selection_of(work.job, plan)
    saved = work.checkpoint
    if saved is None:
        async with work.read() as connection:
            drawn, documents = await _sample(connection, selection, plan)
            where = await positions(connection, selection)
        work.report(0.1, f"read {len(documents.names):,} of {drawn.seen:,} documents")
        found: Clustering = await work.compute(
            cluster_points, (plan, points_of(plan, documents)), span=(0.1, _FITTED)
        )
        facts = {
            "method": plan.method,
            "num_documents": drawn.seen,
            "fitted_points": found.points,
            "metrics": found.metrics,
            "positions": where,
        }
        rest = drawn.seen > len(documents.names)
        saved = {"facts": facts, "after": None, "done": not rest, "seen": len(documents.names)}
        words = f"stored {len(found.clusters):,} clusters of {found.points:,} documents"
        async with work.step(saved, _FITTED if rest else 1.0, words) as connection:
            detail = {"fitted_points": found.points, "sampled": rest}
            await store(connection, run.run_id, run.mode, list(_centroids(found)), found.metrics, where, detail)
            await add_members(
                connection, run.run_id, documents.names, found.labels.tolist(), found.distances.tolist()
            )
    # A method that was told to leave nobody out leaves nobody out.
    noise = method_named(plan.method).noise and not plan.parameters.get("cluster_all", False)
    await give_the_rest(work, run, plan, selection, radii=noise)
    return dict(saved["facts"])


async def give_the_rest(
    work: Work,
    run: Run,
    plan: Plan,
    selection: Selection,
    *,
    radii: bool = False,
    threshold: float | None = None,
) -> None:
    """Give every document that is no member yet to the run's stored clusters, block by block from the work's
    checkpoint on."""
    saved = dict(work.checkpoint or {})
    if saved["done"]:
        return
    async with work.read() as connection:
        stored = await run_named(connection, work.job.command.namespace_id, run.run_id)
    if stored is None:
        raise ActionError("the cluster was deleted while it ran")
    target = target_of(stored.centroids, radii=radii, threshold=threshold)
    total = max(saved["facts"]["num_documents"], 1)
    while not saved["done"]:
        after = None if saved["after"] is None else (saved["after"][0], saved["after"][1])
        async with work.read() as connection:
            documents, last = await read_after(connection, selection, after, BLOCK)
            open_places = await missing(connection, run.run_id, documents.names)
        saved |= {"after": last, "done": last is None, "seen": saved["seen"] + len(open_places)}
        assigned = await _assigned(work, target, points_of(plan, documents)) if open_places else None
        words = f"{saved['seen']:,} of {total:,} documents"
        fraction = _FITTED + (1 - _FITTED) * min(saved["seen"] / total, 1.0)
        async with work.step(saved, fraction, words) as connection:
            if assigned is not None:
                await add_members(
                    connection,
                    run.run_id,
                    [documents.names[place] for place in open_places],
                    assigned.labels[open_places].tolist(),
                    assigned.distances[open_places].tolist(),
                )


async def _assigned(work: Work, target: Target, points: Points) -> Assigned:
    assigned = await work.compute(assign_points, (target, points), span=(0.0, 0.0))
    assert isinstance(assigned, Assigned)
    return assigned


def selection_of(job: Job, plan: Plan) -> Selection:
    """The documents a plan is about."""
    return Selection(
        job.command.namespace_id,
        plan.source.collection_ids,
        job.command.until,
        plan.source.filter,
        [uri for uri in plan.features if uri != HASHING],
    )


async def _sample(connection: Connection, selection: Selection, plan: Plan) -> tuple[Draw, Documents]:
    """The documents to fit on. Raises :class:`ActionError` when there are none."""
    sizes = await dimensions(connection, selection)
    embedded = HashingEmbedder.DIMENSIONS if _reads_texts(plan) else 0
    drawn = Draw(plan.fit_rows(sum(sizes) + embedded))
    async for name in names(connection, selection):
        drawn.add(name)
    documents = await read(connection, selection, drawn.names())
    if not documents.names or (_reads_texts(plan) and not any(documents.texts)):
        raise ActionError(await _nothing(connection, selection, plan))
    return drawn, documents


def _reads_texts(plan: Plan) -> bool:
    return not plan.features or HASHING in plan.features


def points_of(plan: Plan, documents: Documents) -> Points:
    """Documents as points of the plan's feature space."""
    vectors = iter(documents.vectors)
    return Points(
        [f"{collection}/{document}" for collection, document in documents.names],
        documents.texts,
        [None if uri == HASHING else next(vectors) for uri in plan.features or (HASHING,)],
        plan.normalize,
        plan.weights,
    )


async def _nothing(connection: Connection, selection: Selection, plan: Plan) -> str:
    what = [f"the feature {uri}" for uri in selection.features] + (["a text"] if _reads_texts(plan) else [])
    when = "" if selection.until is None else f" from before {selection.until:%Y-%m-%dT%H:%M:%SZ}"
    if selection.filter is not None:
        when += " that fits the filters"
    known = await features(connection, selection)
    hint = f"; features that came with them: {', '.join(known)}" if known else ""
    return f"no document{when} in {', '.join(selection.collection_ids)} has {' and '.join(what)}{hint}"


def _centroids(found: Clustering) -> Iterator[dict[str, Any]]:
    """Clusters in the words of contract 4.10."""
    for cluster, vector in zip(found.clusters, found.centroids, strict=True):
        yield {
            "cluster_id": cluster.id,
            "parent_cluster_id": cluster.parent,
            "level": cluster.level,
            "num_members": cluster.members,
            "label": cluster.label,
            "summary": cluster.title,
            "keywords": cluster.keywords,
            "mean_cosine_similarity": cluster.mean_cosine_similarity,
            "min_cosine_similarity": cluster.min_cosine_similarity,
            "radius": cluster.radius,
            "centroid_vector": vector,
        }


def described(found: Clustering, members: Sequence[int]) -> list[dict[str, Any]]:
    """The clusters of a clustering whose points stand for so many documents each."""
    centroids = list(_centroids(found))
    for place, centroid in enumerate(centroids):
        centroid["num_members"] = sum(
            count for count, label in zip(members, found.labels.tolist(), strict=True) if label == place
        )
    return centroids
