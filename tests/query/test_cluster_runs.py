"""Runs of clusters and their groups."""

from datetime import timedelta
from typing import Any

from mixpeek.models.cluster_execution_result import ClusterExecutionResult
from mixpeek.models.cluster_groups_response import ClusterGroupsResponse
from mixpeek.models.list_cluster_executions_response import ListClusterExecutionsResponse
from psycopg.types.json import Jsonb

from streams.runtime.agent import Context
from streams.runtime.definitions import put_definition
from tests.query.asking import body, missing, parsed
from tests.query.support import NAMESPACE, NOON, client, define_namespace


async def test_cluster_runs(context: Context) -> None:
    await define_namespace(context)
    async with context.database.transaction() as connection:
        cluster = {"cluster_id": "clust_1"}
        await put_definition(connection, "cluster", NAMESPACE, "clust_1", "topics", cluster)
        await put_definition(connection, "cluster", NAMESPACE, "clust_2", "empty", {"cluster_id": "clust_2"})
        for number in range(3):
            centroids = [
                {"cluster_id": "cl_0", "num_members": 3, "label": "flu", "centroid_vector": [0.5, 0.25]},
                {"cluster_id": "cl_1", "num_members": 9, "keywords": ["ebola"], "centroid_vector": [1.0, 0.0]},
            ]
            await connection.execute(
                "INSERT INTO cluster_runs (run_id, cluster_id, namespace_id, job_id, status, num_clusters,"
                " num_points, metrics, centroids, created_at, completed_at)"
                " VALUES (%s, 'clust_1', %s, %s, 'completed', 2, 12, %s, %s, %s, %s)",
                (
                    f"run_{number}",
                    NAMESPACE,
                    f"job_{number}",
                    Jsonb({"silhouette_score": 0.25}),
                    Jsonb(centroids),
                    NOON + timedelta(hours=number),
                    NOON + timedelta(hours=number, seconds=9),
                ),
            )
    async with client(context) as http:
        newest = await body(http, "/v1/clusters/topics/executions")
        read = parsed(ClusterExecutionResult, newest)
        assert (read.run_id, read.num_clusters, read.num_points) == ("run_2", 2, 12)
        assert all("centroid_vector" not in item for item in newest["centroids"])
        full = await body(http, "/v1/clusters/clust_1/executions/run_0", include_vectors=True)
        assert full["centroids"][0]["centroid_vector"] == [0.5, 0.25]
        assert full["created_at"] == "2024-05-01T12:00:00.000Z"
        assert await missing(http, "/v1/clusters/clust_1/executions/run_9")
        assert await missing(http, "/v1/clusters/clust_2/executions")
        assert await missing(http, "/v1/clusters/clust_2/groups")

        groups = await body(http, "/v1/clusters/clust_1/groups")
        parsed(ClusterGroupsResponse, groups)
        assert [(item["cluster_id"], item["member_count"]) for item in groups["groups"]] == [
            ("cl_1", 9),
            ("cl_0", 3),
        ]
        walked: list[str] = []
        cursor: str | None = None
        while True:
            query: dict[str, Any] = {"limit": 2, **({} if cursor is None else {"cursor": cursor})}
            response = await http.post("/v1/clusters/clust_1/executions/list", params=query)
            page = response.json()
            parsed(ListClusterExecutionsResponse, page)
            assert page["total_count"] == 3
            walked += [item["run_id"] for item in page["results"]]
            cursor = page["pagination"]["next_cursor"]
            if cursor is None:
                break
        assert walked == ["run_2", "run_1", "run_0"]
        for asked, named in (
            ({"sort": {"field": "created_at"}}, ["run_0", "run_1", "run_2"]),
            ({"filters": {"num_clusters": {"gte": 0}}, "search": "run_1"}, ["run_1"]),
            ({"status": "nothing"}, []),
        ):
            sifted = (await http.post("/v1/clusters/clust_1/executions/list", json=asked)).json()
            assert [item["run_id"] for item in sifted["results"]] == named
            assert sifted["total_count"] == len(named)
        bad = await http.post("/v1/clusters/clust_1/executions/list?cursor=WzFd")
        assert bad.status_code == 400
