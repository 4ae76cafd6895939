"""Cluster runs as ``ClusterExecutionResult`` and groups (contract 4.10, 2.5)."""

from typing import Any

from schemas.times import format_instant
from streams.query.compose.rows import ClusterRun


def result(run: ClusterRun, *, include_vectors: bool) -> dict[str, Any]:
    """One run. Centroid vectors are left out unless asked for."""
    return {
        "run_id": run.run_id,
        "cluster_id": run.cluster_id,
        "status": run.status,
        "num_clusters": run.num_clusters,
        "num_points": run.num_points,
        "metrics": run.metrics,
        "centroids": [
            centroid
            if include_vectors
            else {name: value for name, value in centroid.items() if name != "centroid_vector"}
            for centroid in run.centroids
        ],
        "created_at": format_instant(run.created_at),
        "completed_at": None if run.completed_at is None else format_instant(run.completed_at),
        "error_message": run.error,
    }


def groups(run: ClusterRun) -> dict[str, Any]:
    """The groups of one run, largest first."""
    ordered = sorted(run.centroids, key=lambda item: (-int(item["num_members"]), str(item["cluster_id"])))
    return {
        "cluster_id": run.cluster_id,
        "run_id": run.run_id,
        "total_groups": len(ordered),
        "total_documents": run.num_points,
        "groups": [
            {
                "cluster_id": str(item["cluster_id"]),
                "label": item.get("label"),
                "summary": item.get("summary"),
                "keywords": item.get("keywords"),
                "member_count": int(item["num_members"]),
            }
            for item in ordered
        ],
    }
