"""Runs of clusters: there from the moment a job is queued, so that one that waits or fails is told of too."""

from collections.abc import Sequence

from schemas.events.trigger import TriggerCommand
from schemas.ids import derived_id
from streams.runtime.database import Connection


def run_id_of(job_id: str) -> str:
    """The run of a job."""
    return derived_id("run_", job_id)


def cluster_id_of(command: TriggerCommand) -> str:
    """The cluster a job runs. A trigger with a configuration of its own has one series of runs, under an id of
    the same shape."""
    return str(command.action_config.get("cluster_id") or derived_id("clust_", command.trigger_id))


async def open_runs(connection: Connection, commands: Sequence[TriggerCommand]) -> None:
    """Write the runs of new jobs, in the caller's transaction; those of other actions are left out, and those of a
    cluster that was deleted: its job fails and says so, but nobody would ever delete its run."""
    opened = [command for command in commands if command.action_type == "cluster"]
    if not opened:
        return
    await connection.execute(
        "INSERT INTO cluster_runs (run_id, cluster_id, namespace_id, job_id, mode, created_at)"
        " SELECT run_id, cluster_id, namespace_id, job_id, mode, created_at"
        " FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::bool[])"
        " AS r (run_id, cluster_id, namespace_id, job_id, mode, created_at, named)"
        " WHERE NOT named OR EXISTS (SELECT FROM definitions AS d WHERE d.kind = 'cluster'"
        " AND d.namespace_id = r.namespace_id AND d.id = r.cluster_id AND d.deleted_at IS NULL)"
        " ON CONFLICT DO NOTHING",
        (
            [run_id_of(command.job_id) for command in opened],
            [cluster_id_of(command) for command in opened],
            [command.namespace_id for command in opened],
            [command.job_id for command in opened],
            [str(command.action_config.get("mode") or "full") for command in opened],
            [command.triggered_at for command in opened],
            [bool(command.action_config.get("cluster_id")) for command in opened],
        ),
    )
