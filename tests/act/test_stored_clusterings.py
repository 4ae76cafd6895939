"""Clusterings that triggers fire, on a real PostgreSQL."""

from datetime import timedelta

import numpy as np
from sklearn.cluster import KMeans

from schemas.ids import derived_id
from streams.act.station import Act
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.runtime.agent import Context
from streams.runtime.definitions import put_definition
from tests.act.stations import ended, running
from tests.act.support import (
    NAMESPACE,
    START,
    TEXTS,
    FakeClock,
    add_documents,
    add_trigger,
    add_vectors,
    command,
    job_row,
    queue,
    results,
    row,
    trigger_row,
)
from tests.support import eventually


async def test_a_fire_becomes_a_stored_clustering(context: Context, clock: FakeClock) -> None:
    await add_trigger(context, pending_job_id="job_1", baseline_sketch=b"old")
    await add_documents(context, TEXTS, partitions=3)
    snapshot = {"count": 40}
    await queue(context, command(), baseline_sketch=b"new", baseline_snapshot=snapshot)
    async with running(Act(context)):
        await eventually(ended(context))

    job = await job_row(context)
    assert job["status"] == "completed"
    assert (job["lease_owner"], job["error"], job["attempts"], job["claim_epoch"]) == (None, None, 1, 1)
    run_id = derived_id("run_", "job_1")
    run = await row(context, "cluster_runs", "job_id", "job_1")
    assert run is not None
    assert (run["run_id"], run["cluster_id"]) == (run_id, derived_id("clust_", "trig_1"))
    assert (run["status"], run["num_clusters"], run["num_points"]) == ("completed", 2, 40)
    assert run["positions"] == {"0": 14, "1": 13, "2": 13}
    assert -1 <= run["metrics"]["silhouette_score"] <= 1
    direct = KMeans(2, n_init=10, random_state=42).fit(HashingEmbedder().embed(TEXTS))
    async with context.database.connection() as connection:
        members = await (
            await connection.execute(
                "SELECT collection_id, document_id, cluster FROM cluster_members WHERE run_id = %s ORDER BY 2",
                (run_id,),
            )
        ).fetchall()
    assert members == [("col_a", f"d{n:06}", label) for n, label in enumerate(direct.labels_.tolist())]
    for centroid in run["centroids"]:
        assert np.allclose(
            centroid["centroid_vector"], direct.cluster_centers_[int(centroid["cluster_id"])], atol=1e-6
        )
        assert centroid["num_members"] == 20
        assert centroid["summary"] in TEXTS
    assert {frozenset(c["keywords"]) for c in run["centroids"]} == {
        frozenset(("ebola", "outbreak", "liberia")),
        frozenset(("yoga", "running", "fitness")),
    }

    state = await trigger_row(context)
    assert (state["last_execution_status"], state["last_job_id"]) == ("completed", "job_1")
    assert (state["successful_executions"], state["total_executions"], state["consecutive_failures"]) == (1, 1, 0)
    assert state["pending_job_id"] is None
    assert state["baseline_snapshot"] == snapshot
    assert state["baseline_sketch"] == "\\x" + b"new".hex()

    told = await results(context)
    assert [(result.status, result.revision) for result in told] == [
        ("pending", 1),
        ("processing", 2),
        ("completed", 3),
    ]
    assert (told[-1].num_clusters, told[-1].num_documents, told[-1].error) == (2, 40, None)
    assert told[-1].execution_time_ms == 0  # the test's clock stands still
    assert told[-1].outcome is not None
    assert told[-1].outcome["run_id"] == run_id


async def test_a_cluster_definition_over_vectors_with_filters(context: Context) -> None:
    random = np.random.default_rng(1)
    vectors = random.normal(size=(60, 8)).astype(np.float32)
    await add_trigger(context, family="trigger")
    await add_documents(
        context,
        [None] * 60,
        payloads=[{"text": f"words of {n}", "source": "bbc" if n % 3 else "cnn"} for n in range(60)],
    )
    await add_vectors(context, vectors)
    body = {
        "cluster_id": "clust_1",
        "collection_ids": ["col_a"],
        "cluster_type": "vector",
        "vector_config": {
            "feature_uri": "mixpeek://test@v1/v",
            "clustering_method": "kmeans",
            "kmeans_parameters": {"n_clusters": 4},
            "normalize_features": False,
        },
        "filters": {"source": "bbc"},
    }
    async with context.database.transaction() as connection:
        await put_definition(connection, "cluster", NAMESPACE, "clust_1", "c", body)
    await queue(context, command(family="trigger", action_config={"cluster_id": "clust_1"}))
    async with running(Act(context)):
        await eventually(ended(context))
    chosen = [n for n in range(60) if n % 3]
    direct = KMeans(4, n_init=10, random_state=42).fit(vectors[chosen])
    run = await row(context, "cluster_runs", "job_id", "job_1")
    assert run is not None, await job_row(context)
    assert run["cluster_id"] == "clust_1"
    async with context.database.connection() as connection:
        rows = await (
            await connection.execute("SELECT document_id, cluster FROM cluster_members ORDER BY 1")
        ).fetchall()
    assert rows == [(f"d{n:06}", label) for n, label in zip(chosen, direct.labels_.tolist(), strict=True)]
    assert all(centroid["summary"].startswith("words of") for centroid in run["centroids"])


async def test_until_hides_what_occurred_later(context: Context) -> None:
    await add_trigger(context)
    await add_documents(context, TEXTS, partitions=2)
    await queue(context, command(until=START + timedelta(hours=10)))
    async with running(Act(context)):
        await eventually(ended(context))
    run = await row(context, "cluster_runs", "job_id", "job_1")
    assert run is not None
    assert run["num_points"] == 10  # the document of hour 10 itself is not before it
    assert run["positions"] == {"0": 5, "1": 5}
