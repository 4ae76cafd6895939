"""Action ``batch_rerun``: do again what an earlier run did (contract 4.8, docs/decisions/015).

A batch is a run of an action; its id is the run's task id. The same action runs with the same config over the
documents as they are now, as a job of its own: what it writes has ids of its own.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from schemas.api.actions import LONGEST_CHAIN
from schemas.events.trigger import RunStatus, TriggerCommand
from streams.act.actions.action import Action, Finish, finished
from streams.act.failures import ActionError
from streams.act.outcome import Outcome, hold
from streams.act.work import Work
from streams.runtime.cluster_runs import open_runs
from streams.runtime.database import Connection

ENDED: Final = ("completed", "failed")


class Batch(NamedTuple):
    """An earlier run."""

    command: TriggerCommand
    status: RunStatus
    outcome: Mapping[str, Any]


async def run(actions: Mapping[str, Action], work: Work) -> Finish:
    """Run the batch's action again; ``actions`` are those that can be."""
    command, config = work.job.command, work.job.command.action_config
    async with work.read() as connection:
        batch = await _batch(connection, command.namespace_id, config.get("batch_id"))
        origin = await _origin(connection, batch)
    action_type = origin.command.action_type
    action = actions.get(action_type)
    if action is None:
        raise ActionError(f"batch {config['batch_id']} ran {action_type}, which cannot be run again")
    told = {"batch_id": config["batch_id"], "batch_status": batch.status, "reran": action_type}
    again = _config(origin, config)
    if config.get("retry_failed_only"):
        if batch.status == "completed" and not batch.outcome.get("documents_failed"):
            return finished(Outcome(num_documents=0, facts={**told, "documents_failed_before": 0}))
        again |= _failed(batch)
    # The same job, which does what the batch did.
    work.job = replace(
        work.job,
        command=command.model_copy(
            update={
                "action_type": action_type,
                "action_config": again,
                "until": origin.command.until,
            }
        ),
    )
    async with work.context.database.transaction() as connection:
        # A clustering's run is there before it begins; queued as a rerun, this one has none yet.
        await hold(connection, work.job)
        await open_runs(connection, [work.job.command])
    finish = await action(work)

    async def finish_rerun(connection: Connection, now: datetime) -> Outcome:
        outcome = await finish(connection, now)
        return replace(outcome, facts={**told, **(outcome.facts or {})})

    return finish_rerun


def _config(origin: Batch, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The config of what is run again: the batch's, over the documents it was about, its filters and ours."""
    config = dict(origin.command.action_config)
    if config.pop("incremental", False):
        config |= {name: origin.outcome.get(name) for name in ("since", "since_until")}
    if ours := asked.get("filters"):
        theirs = config.get("filters")
        config["filters"] = {"AND": [theirs, ours]} if theirs else ours
    return config


def _failed(batch: Batch) -> dict[str, Any]:
    """What narrows a config to the documents that failed: nothing where not all of them are known."""
    failures = batch.outcome.get("failures") or ()
    if batch.status == "failed" and batch.outcome.get("documents_failed") != batch.outcome.get(
        "documents_selected"
    ):
        return {}
    if not failures or len(failures) < batch.outcome.get("documents_failed", 0):
        return {}
    return {"document_ids": sorted({failure["document_id"] for failure in failures})}


async def _batch(connection: Connection, namespace_id: str, batch_id: object) -> Batch:
    cursor = await connection.execute(
        "SELECT command, status, outcome FROM jobs WHERE job_id = %s AND namespace_id = %s",
        (batch_id, namespace_id),
    )
    row = await cursor.fetchone()
    if row is None:
        raise ActionError(f"batch {batch_id} does not exist: a batch is an earlier run, its id the run's task id")
    batch = Batch(TriggerCommand.model_validate(row[0]), row[1], row[2] or {})
    if batch.status not in ENDED:
        raise ActionError(
            f"batch {batch_id} is {batch.status}; it can be run again when it has completed or failed"
        )
    return batch


async def _origin(connection: Connection, batch: Batch) -> Batch:
    """What a chain of reruns began with."""
    for _ in range(LONGEST_CHAIN):
        if batch.command.action_type != "batch_rerun":
            return batch
        batch = await _batch(connection, batch.command.namespace_id, batch.command.action_config.get("batch_id"))
    raise ActionError(f"the batch repeats over {LONGEST_CHAIN} others; name the first of them instead")
