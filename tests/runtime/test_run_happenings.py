"""What jobs are to webhooks."""

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.events.trigger import TriggerCommand
from streams.runtime.cluster_runs import run_id_of
from streams.runtime.run_happenings import came_to, fired

AT = datetime(2026, 3, 1, tzinfo=UTC)


def command(trigger_id: str = "trig_1", action: str = "cluster", **config: Any) -> TriggerCommand:
    return TriggerCommand(
        job_id="job_1",
        trigger_id=trigger_id,
        namespace_id="ns_1",
        family="trigger",
        action_type=action,
        action_config=config,
        nominal_at=AT,
        triggered_at=AT,
        reason="due",
    )


def test_a_trigger_has_fired_but_not_where_somebody_asked_for_a_run() -> None:
    (one,) = fired(command(cluster_id="clust_1"))
    assert (one.type, one.subject_id, one.metadata["task_id"]) == ("trigger.fired", "trig_1", "job_1")
    assert one.event_id == fired(command())[0].event_id
    assert fired(command("clust_1", cluster_id="clust_1")) == []
    assert fired(command("col_1", "collection_trigger")) == []
    assert fired(command("alt_1", "alert_evaluation")) == []


@pytest.mark.parametrize(
    ("trigger", "action", "status", "types"),
    [
        ("trig_1", "cluster", "processing", ["cluster.execution.started"]),
        ("trig_1", "cluster", "completed", ["trigger.execution.completed", "cluster.execution.completed"]),
        ("clust_1", "cluster", "failed", ["cluster.execution.failed"]),
        ("trig_1", "batch_rerun", "failed", ["trigger.execution.failed"]),
        ("trig_1", "batch_rerun", "processing", []),
        ("trig_1", "cluster", "canceled", []),
    ],
)
def test_what_a_job_came_to(trigger: str, action: str, status: Any, types: list[str]) -> None:
    told = came_to(command(trigger, action, cluster_id="clust_1"), status, error="no", execution_time_ms=5)
    assert [item.type for item in told] == types
    for item in told:
        if item.type.startswith("cluster"):
            assert (item.subject_id, item.metadata["run_id"]) == ("clust_1", run_id_of("job_1"))
        else:
            assert (item.metadata["error"], item.metadata["execution_time_ms"]) == ("no", 5)
    assert len({item.event_id for item in told}) == len(told)


def test_a_sweep_that_failed_is_an_execution_of_its_alert_that_failed() -> None:
    sweep = command("alt_1", "alert_evaluation", alert_id="alt_1")
    (told,) = came_to(sweep, "failed", error="no retriever")
    assert (told.type, told.subject_id) == ("alert.execution.failed", "alt_1")
    assert told.metadata == {"alert_id": "alt_1", "task_id": "job_1", "reason": "due", "error": "no retriever"}
    assert came_to(sweep, "completed") == []
    by_trigger = came_to(command("trig_1", "alert_evaluation", alert_id="alt_1"), "failed")
    assert [one.type for one in by_trigger] == ["trigger.execution.failed", "alert.execution.failed"]


def test_a_run_that_filled_a_collection_is_a_batch() -> None:
    run = command("col_1", "collection_trigger", collection_id="col_1")
    (told,) = came_to(run, "completed", num_documents=7)
    assert (told.type, told.subject_id) == ("collection.documents.batch_completed", "col_1")
    assert told.metadata == {"collection_id": "col_1", "batch_id": "job_1", "document_count": 7}
    assert came_to(run, "failed") == []
