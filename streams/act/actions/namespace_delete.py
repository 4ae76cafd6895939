"""Action ``namespace_delete``: what a deleted namespace held goes, a table a step (contract 2.7)."""

from typing import Final

from streams.act.actions.action import Finish, finished
from streams.act.outcome import Outcome
from streams.act.work import Work

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


async def run(work: Work) -> Finish:
    """Delete the rows of each table."""
    namespace_id = work.job.command.namespace_id
    done = dict((work.checkpoint or {}).get("deleted", {}))
    for number, table in enumerate(TABLES, start=1):
        if table in done:
            continue
        facts = {"deleted": done}
        async with work.step(facts, number / len(TABLES), f"{number} of {len(TABLES)} tables") as connection:
            deleted = await connection.execute(
                f"DELETE FROM {table} WHERE namespace_id = %s".encode(), (namespace_id,)
            )
            done[table] = deleted.rowcount
    return finished(Outcome(num_documents=done["documents"], facts={"deleted": done}))
