"""Runs of clusters: there from the moment a job is queued, so that one that waits or fails is told of too."""

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


async def open_run(connection: Connection, command: TriggerCommand) -> None:
    """Write the run of a new job, in the caller's transaction."""
    config = command.action_config
    await connection.execute(
        "INSERT INTO cluster_runs (run_id, cluster_id, namespace_id, job_id, mode, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            run_id_of(command.job_id),
            cluster_id_of(command),
            command.namespace_id,
            command.job_id,
            str(config.get("mode") or "full"),
            command.triggered_at,
        ),
    )
