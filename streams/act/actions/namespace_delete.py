"""Action ``namespace_delete``: what a deleted namespace held goes, some thousand rows a step (contract 2.7)."""

from typing import Any, Final

from streams.act.actions.action import Finish, finished
from streams.act.outcome import Outcome
from streams.act.work import Work
from streams.runtime.clearing import STEP, delete_some, leaves

TABLES: Final = (
    "documents",
    "document_vectors",
    "document_writes",
    "erased_documents",
    "collection_counters",
    "drift_sketches",
    "drift_seeds",
    "secrets",
    "alert_notify_state",
    "alert_sweeps",
    "alert_windows",
    "alert_window_buckets",
    "alert_window_begun",
    "alert_window_positions",
    "alert_executions",
    "alert_execution_counts",
    "result_documents",
    "retriever_executions",
    "trigger_executions",
    "cluster_runs",
    "deliveries",
    "delivery_status",
    "idempotent_upserts",
    "match_progress",
    "seen_events",
)
"""Tables whose rows go with their namespace."""


_RUNS: Final = 10
"""Runs of clusters in a step: each has a row for every document."""


async def run(work: Work) -> Finish:
    """Delete the rows of each table. A worker that takes over begins with the table that was in hand."""
    parameters = {"namespace": work.job.command.namespace_id}
    checkpoint = work.checkpoint or {}
    done: dict[str, int] = dict(checkpoint.get("deleted", {}))
    for number in range(checkpoint.get("table", 0), len(TABLES)):
        table = TABLES[number]
        most = _RUNS if table == "cluster_runs" else STEP
        gone = most
        while gone == most:
            facts: dict[str, Any] = {"deleted": done, "table": number}
            words = f"{number + 1} of {len(TABLES)} tables"
            async with work.step(facts, (number + 1) / len(TABLES), words) as connection:
                gone = 0
                for part in await leaves(connection, table):
                    gone += await delete_some(
                        connection, part, "namespace_id = %(namespace)s", parameters, most - gone
                    )
                done[table] = done.get(table, 0) + gone
    return finished(Outcome(num_documents=done["documents"], facts={"deleted": done}))
