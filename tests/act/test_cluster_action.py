"""The cluster action over a real database and real children: samples, modes, attributes, enrichment, old runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN, KMeans

from schemas.api.base import JsonObject
from schemas.events.document import decode_document_event
from schemas.headers import CAUSED_BY
from schemas.ids import derived_id
from streams.act.actions import cluster_vectors
from streams.act.clustering.points import Draw
from streams.act.station import Act
from streams.runtime.agent import Context
from streams.runtime.clock import utc_now
from streams.runtime.cluster_runs import run_id_of
from streams.runtime.database import fetch_value
from streams.runtime.definitions import delete_definition, put_definition
from tests.act.stations import ended, running, with_settings
from tests.act.support import (
    NAMESPACE,
    START,
    add_documents,
    add_trigger,
    add_vectors,
    command,
    job_row,
    queue,
    results,
    row,
)
from tests.support import eventually
from tests.victim import killed

FEATURE, OTHER = "mixpeek://test@v1/v", "mixpeek://test@v1/w"
Vectors = NDArray[np.float32]


def grouped(count: int, groups: int = 3, dimensions: int = 4, spread: float = 0.1) -> Vectors:
    """Vectors around ``groups`` directions, in turn."""
    random = np.random.default_rng(5)
    centres = np.eye(groups, dimensions)
    rows = [centres[n % groups] + spread * random.normal(size=dimensions) for n in range(count)]
    return np.array(rows, dtype=np.float32)


async def define(context: Context, cluster_id: str = "clust_1", *, method: str = "kmeans", **changes: Any) -> None:
    """A cluster over the vectors of col_a, as the API stores one."""
    config = {
        "clustering_method": method,
        "feature_uri": FEATURE,
        "normalize_features": False,
        **changes.pop("config", {}),
    }
    body = {
        "cluster_id": cluster_id,
        "cluster_name": cluster_id,
        "collection_ids": ["col_a"],
        "cluster_type": "vector",
        "vector_config": config,
        **changes,
    }
    async with context.database.transaction() as connection:
        await put_definition(connection, "cluster", NAMESPACE, cluster_id, cluster_id, body)


async def define_collection(context: Context, collection_id: str = "col_a") -> None:
    """A collection that may be written to."""
    body = {"collection_id": collection_id, "collection_name": collection_id, "enabled": True}
    async with context.database.transaction() as connection:
        await put_definition(connection, "collection", NAMESPACE, collection_id, collection_id, body)


async def fire(context: Context, job_id: str, cluster_id: str = "clust_1", **config: Any) -> None:
    """Queue a run; later ones are later."""
    number = int(job_id.removeprefix("job_"))
    await queue(
        context,
        command(
            job_id,
            family="trigger",
            action_config={"cluster_id": cluster_id, **config},
            triggered_at=START + timedelta(minutes=number),
        ),
    )


async def run_of(context: Context, job_id: str = "job_1") -> dict[str, Any]:
    """The run of a job that completed."""
    found = await row(context, "cluster_runs", "job_id", job_id)
    assert found is not None
    assert found["status"] == "completed", await job_row(context, job_id)
    return found


async def members_of(context: Context, job_id: str = "job_1") -> dict[str, int]:
    """Where each document of the run of a job belongs."""
    async with context.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT document_id, cluster FROM cluster_members WHERE run_id = %s ORDER BY 1", (run_id_of(job_id),)
        )
        return {document: label for document, label in await cursor.fetchall()}  # noqa: C416


async def written(context: Context) -> list[tuple[Any, str | None]]:
    """The document events in the outbox and the causes they carry."""
    async with context.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT key, value, headers FROM outbox WHERE topic = 'documents' ORDER BY id"
        )
        rows = await cursor.fetchall()
    found = []
    for key, value, headers in rows:
        causes = dict(headers).get(CAUSED_BY)
        found.append((decode_document_event(bytes(key), bytes(value), [], appended_at=START), causes))
    return found


@asynccontextmanager
async def done(context: Context, *job_ids: str) -> AsyncIterator[None]:
    """A station that runs until the jobs have ended."""
    async with running(Act(context)):
        for job_id in job_ids:
            await eventually(ended(context, job_id), timeout=60)
        yield


async def test_a_sample_is_fitted_and_the_rest_is_given_to_its_clusters(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_vectors, "BLOCK", 70)
    vectors = grouped(300, spread=0.3)
    await add_documents(context, [f"text {n}" for n in range(300)])
    await add_vectors(context, vectors)
    await define(context, config={"kmeans_parameters": {"n_clusters": 3}, "sample_size": 60})
    await fire(context, "job_1")
    async with done(context, "job_1"):
        pass
    draw = Draw(60)
    for number in range(300):
        draw.add(("col_a", f"d{number:06}"))
    sample = [int(document[1:]) for _, document in draw.names()]
    direct = KMeans(3, n_init=10, random_state=42).fit(vectors[sample])
    run = await run_of(context)
    found = await members_of(context)
    assert [found[f"d{n:06}"] for n in sample] == direct.labels_.tolist()
    assert [found[f"d{n:06}"] for n in range(300)] == direct.predict(vectors).tolist()
    assert (run["num_points"], run["num_clusters"], run["mode"]) == (300, 3, "full")
    assert [c["num_members"] for c in run["centroids"]] == np.bincount(direct.predict(vectors)).tolist()
    assert run["detail"] == {"fitted_points": 60, "sampled": True}
    told = (await results(context))[-1]
    assert (told.num_clusters, told.num_documents) == (3, 300)
    assert told.outcome is not None
    assert (told.outcome["fitted_points"], told.outcome["num_points"]) == (60, 300)


async def test_noise_stays_noise_outside_the_sample(context: Context) -> None:
    vectors = np.concatenate([grouped(200, groups=2, spread=0.05), np.full((40, 4), 9.0, dtype=np.float32)])
    vectors[200:] *= np.arange(1, 41, dtype=np.float32)[:, None]
    await add_documents(context, [None] * 240)
    await add_vectors(context, vectors)
    await define(context, method="dbscan", config={"dbscan_parameters": {"eps": 0.3}, "sample_size": 120})
    await fire(context, "job_1")
    async with done(context, "job_1"):
        pass
    run, found = await run_of(context), await members_of(context)
    assert run["num_clusters"] == 2
    whole = DBSCAN(eps=0.3).fit_predict(vectors)
    assert [found[f"d{n:06}"] for n in range(200, 240)] == [-1] * 40 == whole[200:].tolist()
    assert sum(found[f"d{n:06}"] >= 0 for n in range(200)) > 190
    assert run["metrics"]["noise_ratio"] == pytest.approx(sum(label < 0 for label in found.values()) / 240)


@pytest.mark.kill
async def test_a_worker_killed_between_blocks_is_taken_over(context: Context) -> None:
    vectors = grouped(200, spread=0.3)
    await add_trigger(context)
    await add_documents(context, [None] * 200)
    await add_vectors(context, vectors)
    await define_collection(context)
    await define(
        context,
        config={"kmeans_parameters": {"n_clusters": 3}, "sample_size": 50},
        enrich_source_collection=True,
    )
    await fire(context, "job_1")
    # The clusters are stored, the rest is being given to them.
    await killed(context.settings, "act", "act:before-step@3", job_lease_seconds="1")
    async with done(replace(context, clock=utc_now), "job_1"):
        pass
    found = await members_of(context)
    assert len(found) == 200
    assert (await run_of(context))["num_points"] == 200
    events = await written(context)
    # Every document once, with what its run says of it.
    assert sorted(event.document_id for event, _ in events) == sorted(found)
    assert {event.document_id: int(event.payload["cluster_id"]) for event, _ in events} == found
    assert [result.status for result in await results(context)].count("completed") == 1


async def test_several_features_are_put_side_by_side(context: Context) -> None:
    one, other = grouped(60), grouped(60, groups=2, dimensions=3, spread=0.2)
    await add_documents(context, [None] * 60)
    await add_vectors(context, one)
    await add_vectors(context, other[:50], feature=OTHER)
    await define(
        context,
        config={
            "feature_uri": None,
            "feature_uris": [FEATURE, OTHER],
            "feature_weights": {OTHER: 0.5},
            "kmeans_parameters": {"n_clusters": 4},
            "normalize_features": True,
        },
    )
    await fire(context, "job_1")
    async with done(context, "job_1"):
        pass
    units = [block / np.linalg.norm(block, axis=1)[:, None] for block in (one[:50], other[:50])]
    rows = np.concatenate([units[0], units[1] * np.float32(0.5)], axis=1)
    direct = KMeans(4, n_init=10, random_state=42).fit(rows)
    assert list((await members_of(context)).values()) == direct.labels_.tolist()


async def test_assign_gives_documents_to_the_clusters_of_an_earlier_run(context: Context) -> None:
    vectors = grouped(60)
    await add_documents(context, [None] * 60)
    await add_vectors(context, vectors)
    await define(context, config={"kmeans_parameters": {"n_clusters": 3}})
    await fire(context, "job_1", mode="assign")
    async with done(context, "job_1"):
        assert "run the cluster in mode full first" in (await job_row(context))["error"]
        await fire(context, "job_2")
        await eventually(ended(context, "job_2"))
        before = await run_of(context, "job_2")
        async with context.database.connection() as connection:
            await connection.execute("DELETE FROM document_vectors WHERE document_id < 'd000003'")
        await add_vectors(context, np.array([[1, 0.1, 0, 0], [1, 1, 1, 20], [0, 0, 1, 0.1]], dtype=np.float32))
        await fire(context, "job_3", mode="assign", assignment_threshold=0.9)
        await eventually(ended(context, "job_3"))
    run, found, first = (
        await run_of(context, "job_3"),
        await members_of(context, "job_3"),
        await members_of(context, "job_2"),
    )
    assert run["mode"] == "assign"
    assert run["detail"] == {"source_execution_ids": [run_id_of("job_2")]}
    assert [c["centroid_vector"] for c in run["centroids"]] == [c["centroid_vector"] for c in before["centroids"]]
    assert found["d000001"] == -1  # its direction is new
    assert (found["d000000"], found["d000002"]) == (first["d000003"], first["d000005"])
    assert {document: found[document] for document in list(found)[3:]} == {
        document: first[document] for document in list(first)[3:]
    }
    assert run["metrics"]["noise_ratio"] == pytest.approx(1 / 60)
    assert sum(c["num_members"] for c in run["centroids"]) == 59


async def test_composite_clusters_the_centroids_of_runs(context: Context) -> None:
    vectors = grouped(80, groups=4, spread=0.02)
    await add_documents(context, [None] * 80, payloads=[{"half": n // 40} for n in range(80)])
    await add_vectors(context, vectors)
    for number in (0, 1):
        await define(
            context,
            f"clust_{number}",
            config={"kmeans_parameters": {"n_clusters": 4}},
            filters={"half": number},
        )
        await fire(context, f"job_{number + 1}", f"clust_{number}")
    await define(
        context,
        "clust_m",
        config={"kmeans_parameters": {"n_clusters": 4}},
        source_cluster_ids=["clust_0", "clust_1"],
    )
    async with done(context, "job_1", "job_2"):
        await fire(context, "job_3", "clust_m")
        await eventually(ended(context, "job_3"))
        await fire(
            context, "job_4", "clust_m", mode="composite", source_execution_ids=[run_id_of("job_1"), "run_x"]
        )
        await eventually(ended(context, "job_4"))
    assert "there is no run run_x" in (await job_row(context, "job_4"))["error"]
    run, found = await run_of(context, "job_3"), await members_of(context, "job_3")
    assert (run["mode"], run["num_clusters"], run["num_points"]) == ("composite", 4, 80)
    assert len({found[f"d{n:06}"] for n in range(0, 80, 4)}) == 1
    assert [c["num_members"] for c in run["centroids"]] == [20] * 4
    mapping = run["detail"]["composite_mapping"]
    assert sorted(len(sources) for sources in mapping.values()) == [2, 2, 2, 2]
    sources = {number: (await run_of(context, f"job_{number}"))["centroids"] for number in (1, 2)}
    for centroid in run["centroids"]:
        taken = [
            sources[1 if item["source_run_id"] == run_id_of("job_1") else 2][int(item["original_cluster_id"])]
            for item in mapping[centroid["cluster_id"]]
        ]
        mean = np.mean([item["centroid_vector"] for item in taken], axis=0)
        assert centroid["centroid_vector"] == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize("hierarchical", [False, True])
async def test_documents_are_grouped_by_attributes(context: Context, hierarchical: bool) -> None:
    payloads: list[JsonObject] = [
        {"kind": "a" if n % 2 else "b", "meta": {"year": 2020 + n % 3}} for n in range(30)
    ]
    await add_documents(context, [None] * 32, payloads=[*payloads, {"kind": "a"}, {"other": 1}])
    attributes = {"attributes": ["kind", "meta.year"], "hierarchical_grouping": hierarchical}
    await define(context, cluster_type="attribute", vector_config=None, attribute_config=attributes)
    await fire(context, "job_1")
    async with done(context, "job_1"):
        pass
    run, found = await run_of(context), await members_of(context)
    centroids = run["centroids"]
    assert found["d000031"] == -1
    for number, payload in enumerate(payloads):
        group = centroids[found[f"d{number:06}"]]
        assert group["attributes"] == {"kind": payload["kind"], "meta.year": payload["meta"]["year"]}
    missing = centroids[found["d000030"]]
    assert (missing["label"], missing["num_members"]) == ("(none)" if hierarchical else "a, (none)", 1)
    if hierarchical:
        assert [(c["label"], c["num_members"]) for c in centroids if c["level"] == 1] == [("a", 16), ("b", 15)]
        assert [c["cluster_id"] for c in centroids][:3] == ["0", "0_sub_0", "0_sub_1"]
    assert run["num_clusters"] == (9 if hierarchical else 7)
    assert (run["num_points"], run["metrics"]["noise_ratio"]) == (32, pytest.approx(1 / 32))


async def test_the_result_is_written_into_the_documents(context: Context) -> None:
    texts = [f"{'ebola outbreak' if n % 2 else 'yoga fitness'} {n}" for n in range(20)]
    await add_documents(context, texts, payloads=[{"kept": n} for n in range(20)])
    await add_vectors(context, grouped(20, groups=2))
    await define_collection(context)
    mappings = [
        {"source_field": "cluster_id", "target_field": "topic.id"},
        {"source_field": "cluster_label", "target_field": "topic.name"},
        {"source_field": "member_count", "target_field": "topic.size"},
    ]
    await define(
        context,
        config={"kmeans_parameters": {"n_clusters": 2}},
        enrich_source_collection=True,
        source_enrichment_config={"field_mappings": mappings},
    )
    await fire(context, "job_1")
    async with done(context, "job_1"):
        pass
    run, found, events = await run_of(context), await members_of(context), await written(context)
    assert len(events) == 20
    for number, (event, causes) in enumerate(events):
        centroid = run["centroids"][found[event.document_id]]
        topic = {"id": centroid["cluster_id"], "name": centroid["label"], "size": 10}
        assert (event.document_id, event.payload) == (f"d{number:06}", {"kept": number, "topic": topic})
        assert causes == "trig_1"  # no trigger or alert fires on its own effects
        assert np.array_equal(event.features[FEATURE], grouped(20, groups=2)[number])
    outcome = (await results(context))[-1].outcome
    assert outcome is not None
    assert outcome["enrichment"]["documents_written"] == 20


async def test_clusters_are_written_into_collections_as_documents(context: Context) -> None:
    await add_documents(context, [f"{'ebola' if n % 2 else 'yoga'} {n}" for n in range(20)])
    await add_vectors(context, grouped(20, groups=2))
    await define_collection(context, "col_out")
    await add_documents(context, [None], collection="col_out")
    async with context.database.connection() as connection:
        # One of a run with more clusters, and a document that is somebody else's.
        await connection.execute(
            "UPDATE documents SET document_id = 'clust_1_7', payload = '{\"source_cluster_id\": \"clust_1\"}'"
            " WHERE collection_id = 'col_out'"
        )
    await add_documents(context, ["mine"], collection="col_out")
    await define(context, config={"kmeans_parameters": {"n_clusters": 2}})
    await fire(context, "job_1", output_collection_ids=["col_out"])
    async with done(context, "job_1"):
        pass
    run, events = await run_of(context), [event for event, _ in await written(context)]
    assert [(event.type, event.document_id) for event in events] == [
        ("document.upserted", "clust_1_0"),
        ("document.upserted", "clust_1_1"),
        ("document.deleted", "clust_1_7"),
    ]
    for event, centroid in zip(events, run["centroids"], strict=False):
        assert event.collection_id == "col_out"
        assert (event.payload["run_id"], event.payload["num_members"]) == (run["run_id"], 10)
        assert event.payload["label"] == centroid["label"]
        assert event.features[FEATURE] == pytest.approx(centroid["centroid_vector"], abs=1e-6)
        assert event.event_id == derived_id("evt_", "job_1", "col_out", event.document_id)


async def test_old_runs_are_forgotten(context: Context) -> None:
    await add_documents(context, ["ebola", "yoga", "ebola", "yoga"])
    await define(context, config={"feature_uri": None, "kmeans_parameters": {"n_clusters": 2}})
    for number in range(1, 6):
        await fire(context, f"job_{number}")
    async with done(with_settings(context, cluster_runs_kept=2), *(f"job_{n}" for n in range(1, 6))):
        pass
    async with context.database.connection() as connection:
        runs = await (await connection.execute("SELECT job_id FROM cluster_runs ORDER BY created_at")).fetchall()
        members = await (await connection.execute("SELECT count(DISTINCT run_id) FROM cluster_members")).fetchone()
    assert [run[0] for run in runs] == ["job_4", "job_5"]
    assert members == (2,)


async def test_a_run_whose_cluster_is_deleted_fails(context: Context) -> None:
    await add_documents(context, ["ebola", "yoga", "ebola", "yoga"])
    await define(context, config={"feature_uri": None, "kmeans_parameters": {"n_clusters": 2}})
    await fire(context, "job_1")
    async with context.database.connection() as connection:
        await connection.execute("DELETE FROM cluster_runs")
    async with done(context, "job_1"):
        pass
    assert (await job_row(context))["error"] == "the cluster was deleted while it ran"


async def test_a_cluster_that_was_deleted_has_no_new_runs(context: Context) -> None:
    """Nobody would ever delete them."""
    await define(context, config={"feature_uri": None, "kmeans_parameters": {"n_clusters": 2}})
    async with context.database.transaction() as connection:
        assert await delete_definition(connection, "cluster", NAMESPACE, "clust_1")
    await fire(context, "job_1")
    async with done(context, "job_1"):
        pass
    assert (await job_row(context))["error"] == "cluster clust_1 does not exist"
    async with context.database.connection() as connection:
        assert await fetch_value(connection, "SELECT count(*) FROM cluster_runs") == 0


async def test_vectors_of_several_dimensions_are_told(context: Context) -> None:
    await add_documents(context, [None] * 10)
    await add_vectors(context, grouped(10))
    async with context.database.connection() as connection:
        await connection.execute("UPDATE document_vectors SET embedding = '[1,2]' WHERE document_id > 'd000006'")
    await define(context, config={"kmeans_parameters": {"n_clusters": 2}})
    await fire(context, "job_1")
    async with done(context, "job_1"):
        pass
    assert "vectors of several dimensions: 7 of 4, 3 of 2" in (await job_row(context))["error"]
