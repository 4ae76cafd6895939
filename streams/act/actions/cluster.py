"""Action ``cluster``: group the documents of some collections and store the run (contract 4.8, 4.10).

Two phases, each of which another worker goes on with where it was left: the clustering, whose first step stores
what the method found and whose further ones give the documents outside its sample to the clusters; then, where the
cluster asks for it, what was found is written into the documents. The run is completed with the job.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final

from schemas.api.cluster import DEFAULT_MAPPINGS
from streams.act.actions.action import Finish
from streams.act.actions.cluster_attributes import group_documents
from streams.act.actions.cluster_centroids import assign_documents, compose_runs
from streams.act.actions.cluster_outputs import enrich_documents, write_outputs
from streams.act.actions.cluster_vectors import Run, cluster_documents
from streams.act.clustering.plan import AttributePlan, plan_of_cluster, plan_of_execution
from streams.act.failures import ActionError
from streams.act.outcome import Outcome
from streams.act.runs import complete, forget_old
from streams.act.work import Work
from streams.runtime.cluster_runs import cluster_id_of, run_id_of
from streams.runtime.database import Connection
from streams.runtime.definitions import find_definition

_CLUSTERED: Final = 0.7
"""Progress when the documents are clustered and writing into them begins."""


async def run(work: Work) -> Finish:
    """Cluster and store the run. Raises :class:`ActionError` when there is nothing to cluster, or the definition
    asks for what this version does not do."""
    body = await _definition(work)
    job, config = work.job, work.job.command.action_config
    mode = str(config.get("mode") or ("composite" if body.get("source_cluster_ids") else "full"))
    plan = plan_of_cluster(body, config) if config.get("cluster_id") else plan_of_execution(body)
    this = Run(run_id_of(job.job_id), cluster_id_of(job.command), mode, body)
    enriching = bool(body.get("enrich_source_collection"))
    phase = work.part("clustering", (0.0, _CLUSTERED if enriching else 1.0))
    if isinstance(plan, AttributePlan):
        if mode != "full":
            raise ActionError(f"mode {mode} needs centroids, which a clustering by attributes has not")
        facts = await group_documents(phase, this, plan)
    elif mode in _MODES:
        facts = await _MODES[mode](phase, this, plan)
    else:
        raise ActionError(f"there is no mode {mode}; modes are {', '.join(_MODES)}")
    if enriching:
        mappings = (body.get("source_enrichment_config") or {}).get("field_mappings") or DEFAULT_MAPPINGS
        written = await enrich_documents(work.part("enrichment", (_CLUSTERED, 1.0)), this, plan.source, mappings)
        facts = {**facts, "enrichment": written}
    outputs = config.get("output_collection_ids") or ()

    async def finish(connection: Connection, now: datetime) -> Outcome:
        clusters, points = await complete(connection, this.run_id, now)
        told = {"run_id": this.run_id, "cluster_id": this.cluster_id, "mode": mode, **facts, "num_points": points}
        if outputs:
            told["outputs"] = await write_outputs(connection, work.job, this, outputs, now)
        await forget_old(connection, this.cluster_id, work.context.settings.cluster_runs_kept, this.run_id)
        return Outcome(num_clusters=clusters, num_documents=points, facts=told)

    return finish


_MODES: Final[Mapping[str, Callable[[Work, Run, Any], Awaitable[dict[str, Any]]]]] = {
    "full": cluster_documents,
    "assign": assign_documents,
    "composite": compose_runs,
}


async def _definition(work: Work) -> Mapping[str, Any]:
    """What to run: a cluster's definition, or the trigger's own ``execution_config``."""
    command = work.job.command
    if cluster_id := command.action_config.get("cluster_id"):
        async with work.read() as connection:
            cluster = await find_definition(connection, "cluster", command.namespace_id, str(cluster_id))
        if cluster is None:
            raise ActionError(f"cluster {cluster_id} does not exist")
        return cluster.body
    execution = command.action_config.get("execution_config")
    if not isinstance(execution, dict):
        raise ActionError("the action names neither a cluster_id nor an execution_config")
    return execution
