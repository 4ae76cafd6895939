"""Which executions are delivered and which are held back."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.events.alert_result import AlertResultRecord
from streams.notify.plan import EXPLAINED_PER_BATCH, AlertKey, NotifyState, Plan, plan
from streams.notify.policy import Policy, policy
from tests.notify.support import AT, NAMESPACE, hit, id_of, result, webhook

KEY = (NAMESPACE, "alt_1")
URL = "https://example.com/hook"


def _policy(alert_id: str = "alt_1", *channels: Any, **fields: Any) -> Policy:
    config = {"channels": list(channels or (webhook(URL),))}
    return policy(NAMESPACE, alert_id, {"name": "n", "notification_config": config, **fields})


def _plan(
    records: Sequence[AlertResultRecord],
    *policies: Policy,
    states: dict[AlertKey, NotifyState] | None = None,
    planned: Sequence[str] = (),
) -> Plan:
    by_key = {(item.namespace_id, item.alert_id): item for item in policies}
    return plan(records, by_key, states or {}, planned, AT)


def _after(seconds: int) -> Any:
    return AT + timedelta(seconds=seconds)


def test_each_channel_of_each_execution_is_a_delivery() -> None:
    record = result(0, hit(1, "alt_1"), hit(2, "alt_2"))
    made = _plan([record], _policy("alt_1", webhook(URL), webhook(URL + "2")), _policy("alt_2"))
    ids = [(item.execution_id, item.channel_index, item.webhook_id) for item in made.deliveries]
    first, second = id_of(record, 0), id_of(record, 1)
    assert ids == [(first, 0, f"{first}_0"), (first, 1, f"{first}_1"), (second, 0, f"{second}_0")]
    assert made.notices == []


def test_unknown_and_disabled_alerts_tell_nobody_and_change_nothing() -> None:
    assert _plan([result()]) == Plan()
    assert _plan([result()], _policy(enabled=False)) == Plan()


def test_an_alert_without_notification_config_fires_and_delivers_nothing() -> None:
    made = _plan([result()], policy(NAMESPACE, "alt_1", {"name": "n", "notification_config": None}))
    assert (made.deliveries, made.notices) == ([], [])
    assert made.states == {KEY: NotifyState(AT, 0)}


def test_cooldown_holds_back_with_a_reason_and_counts() -> None:
    records = [result(0, at=_after(0)), result(1, at=_after(59)), result(2, at=_after(60))]
    made = _plan(records, _policy(cooldown_seconds=60))
    assert [item.execution_id for item in made.deliveries] == [id_of(records[0]), id_of(records[2])]
    (notice,) = made.notices
    assert (notice.execution_id, notice.status, notice.attempt) == (id_of(records[1]), "deferred", 0)
    assert "cooldown until 2026-03-01T12:01:00" in (notice.error or "")
    assert made.states == {KEY: NotifyState(_after(60), 1)}


def test_the_clock_is_the_append_time_across_partitions() -> None:
    late, early = result(0, at=_after(100)), result(1, at=_after(0))
    made = _plan([late, early], _policy(cooldown_seconds=60))
    assert [item.execution_id for item in made.deliveries] == [id_of(early), id_of(late)]


def test_a_channel_that_cannot_deliver_is_recorded_and_said() -> None:
    email = {"channel_type": "email", "config": {"to_addresses": ["a@example.com"]}}
    made = _plan([result()], _policy("alt_1", email, webhook(URL)))
    broken, whole = made.deliveries
    assert broken.problem is not None
    assert whole.problem is None
    (notice,) = made.notices
    assert (notice.status, notice.channel_index, notice.channel_type) == ("not_configured", 0, "email")
    assert notice.error == broken.problem


def test_a_repeat_changes_nothing() -> None:
    record = result(at=_after(500))
    states = {KEY: NotifyState(_after(0), 3)}
    assert _plan([record], _policy(cooldown_seconds=60), states=states, planned=[id_of(record)]) == Plan()
    assert len(_plan([record, record], _policy()).deliveries) == 1


def test_held_back_explanations_are_bounded_and_counting_is_not() -> None:
    records = [result(number, at=_after(0)) for number in range(EXPLAINED_PER_BATCH + 20)]
    made = _plan(records, _policy(cooldown_seconds=60))
    assert len(made.deliveries) == 1
    assert len(made.notices) == EXPLAINED_PER_BATCH
    assert made.states[KEY].suppressed == EXPLAINED_PER_BATCH + 19


@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=30),
    st.integers(0, 60),
    st.lists(st.integers(0, 30), max_size=4),
)
def test_against_a_plain_reference_over_batch_cuts(seconds: list[int], cooldown: int, cuts: list[int]) -> None:
    """In order of time: the same decisions however the records are cut into batches, also when a batch is
    decided twice, and never two deliveries nearer than the cooldown."""
    records = [result(number, at=_after(second)) for number, second in enumerate(sorted(seconds))]
    alert = _policy(cooldown_seconds=cooldown)
    states: dict[AlertKey, NotifyState] = {}
    sent: list[str] = []
    edges = [0, *sorted(min(cut, len(records)) for cut in cuts), len(records)]
    for begin, end in pairwise(edges):
        made = _plan(records[begin:end], alert, states=states, planned=sent)
        assert made == _plan(records[begin:end], alert, states=states, planned=sent)
        states.update(made.states)
        sent.extend(item.execution_id for item in made.deliveries)

    expected: list[str] = []
    last: int | None = None
    for number, second in enumerate(sorted(seconds)):
        if last is None or second - last >= cooldown:
            expected.append(id_of(records[number]))
            last = second
    assert sent == expected
    assert states[KEY] == NotifyState(_after(last or 0), len(records) - len(expected))


def test_of_what_a_sweep_or_a_window_holds_back_nobody_is_told() -> None:
    quiet = result(0, replace(hit(1, "alt_1"), triggered=False))
    assert _plan([quiet], _policy()) == Plan()
    held = result(1, replace(hit(1, "alt_1"), held="the condition goes on to hold, told once"))
    made = _plan([held], _policy())
    assert made.deliveries == []
    assert [notice.error for notice in made.notices] == ["not sent: the condition goes on to hold, told once"]
    assert made.states == {KEY: NotifyState(None, 1)}


def test_the_clock_of_what_has_no_document_is_the_instant_it_was_decided_for() -> None:
    records = [
        replace(
            result(number, at=_after(number)), source_topic="", document_id="", occurred_at=_after(hour * 3_600)
        )
        for number, hour in enumerate((0, 0, 1))
    ]
    made = _plan(records, _policy(cooldown_seconds=3_600))
    assert [item.execution_id for item in made.deliveries] == [id_of(records[0]), id_of(records[2])]
    assert made.states == {KEY: NotifyState(_after(3_600), 1)}
