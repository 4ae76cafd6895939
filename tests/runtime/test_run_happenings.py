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
