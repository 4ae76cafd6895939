"""What a fire asks for: the same action whoever decided it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.events.trigger import TriggerFamily
from streams.engines.rules.commands import action, command, job_id
from streams.engines.rules.errors import ScheduleError

START = datetime(2014, 10, 2, tzinfo=UTC)
EXECUTION = {"collection_ids": ["col_a"], "config": {}}


def test_a_job_is_named_after_trigger_and_nominal_time() -> None:
    assert job_id("trig_a", START) == job_id("trig_a", START.astimezone())
    ids = {job_id("trig_a", START), job_id("trig_b", START), job_id("trig_a", START + timedelta(hours=1))}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("family", "body", "expected"),
    [
        ("trigger", {"action_type": "cluster", "action_config": {"n": 1}}, ("cluster", {"n": 1})),
        ("cluster_trigger", {"cluster_id": "clust_1"}, ("cluster", {"cluster_id": "clust_1"})),
        (
            "cluster_trigger",
            {"cluster_id": "clust_1", "execution_config": None},
            ("cluster", {"cluster_id": "clust_1"}),
        ),
        (
            "cluster_trigger",
            {"cluster_id": None, "execution_config": EXECUTION},
            ("cluster", {"execution_config": EXECUTION}),
        ),
    ],
)
def test_the_action_holds_what_the_definition_says(
    family: TriggerFamily, body: dict[str, Any], expected: tuple[str, dict[str, Any]]
) -> None:
    assert action(family, body) == expected


@pytest.mark.parametrize(
    ("family", "body", "message"),
    [
        ("trigger", {}, "no action_type"),
        ("trigger", {"action_type": "cluster"}, "no action_type"),
        ("cluster_trigger", {"cluster_id": None, "execution_config": None}, "neither a cluster_id"),
    ],
)
def test_a_definition_without_an_action_is_refused(
    family: TriggerFamily, body: dict[str, Any], message: str
) -> None:
    with pytest.raises(ScheduleError, match=message):
        command("trig_a", "ns", family, body, job_id="job_1", nominal_at=START, triggered_at=START, reason="")


def test_a_command_carries_what_set_it_off() -> None:
    body = {"action_type": "cluster", "action_config": {}}
    fields = {"job_id": "job_1", "nominal_at": START, "triggered_at": START, "reason": "r"}
    order = command("trig_a", "ns", "trigger", body, **fields, caused_by=("alt_1",))  # type: ignore[arg-type]
    assert (order.key, order.caused_by, order.until) == (b"ns/trig_a", ("alt_1",), None)
