"""Cluster runs as ``ClusterExecutionResult`` and groups (contract 4.10, 2.5)."""

from typing import Any

from schemas.times import format_instant
from streams.query.compose.rows import ClusterRun

_WITHIN = ("centroid_vector", "radius")


def result(run: ClusterRun, *, include_vectors: bool) -> dict[str, Any]:
    """One run. Centroid vectors are left out unless asked for; before it completed there are no results."""
    completed = run.status == "completed"
    hidden = _WITHIN[1:] if include_vectors else _WITHIN
    return {
        "run_id": run.run_id,
        "cluster_id": run.cluster_id,
        "status": run.status,
        "num_clusters": run.num_clusters if completed else 0,
        "num_points": run.num_points if completed else 0,
        "metrics": run.metrics if completed else None,
        "centroids": [
            {name: value for name, value in centroid.items() if name not in hidden} for centroid in run.centroids
        ]
        if completed
        else None,
        "created_at": format_instant(run.created_at),
        "completed_at": None if run.completed_at is None else format_instant(run.completed_at),
        "error_message": run.error if run.status == "failed" else None,
        "mode": run.mode,
        **run.detail,
        "task_id": run.job_id,
        "progress": run.progress,
        "progress_message": run.progress_message,
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
                "parent_cluster_id": item.get("parent_cluster_id"),
            }
            for item in ordered
        ],
    }
