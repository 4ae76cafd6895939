"""What documents add to the windows of alerts, as match tells it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from schemas.events.alert_result import AlertResultRecord, decode_alert_result
from streams.match.arrivals import Arrival
from tests.match.test_matching import HASHER, NOW, System, arrival, asks


def attach(system: System, **alerts: dict[str, Any]) -> None:
    """Alerts on one retriever, attached to the collection."""
    system.put("retriever", "r", stages=asks("kind", "order"))
    for name, fields in alerts.items():
        system.put("alert", name, retriever_id="r", **fields)
    applications = [{"alert_id": name, "execution_mode": "on_ingest", "input_mappings": []} for name in alerts]
    system.put("collection", "col", alert_applications=applications)


async def told(system: System, *arrivals: Arrival) -> list[AlertResultRecord]:
    percolation = await system.matcher.percolate(arrivals)
    matched = await system.matcher.matched(percolation, HASHER)
    return [decode_alert_result(result.value) for result in matched.results]


async def test_a_match_adds_to_windows_and_fires_what_one_document_decides() -> None:
    system = System()
    figure = {"field": "sum(amount)", "operator": "gt", "value": 5}
    attach(system, plain={}, window={"window_seconds": 600, "min_count": 3, "threshold": figure})
    adds, fires = await told(system, arrival(0, kind="order", amount=[1, 2.5, "x"]), arrival(1, kind="visit"))
    assert [hit.alert_id for hit in fires.hits] == ["plain"]
    assert fires.contributions == ()
    (one,) = adds.contributions
    assert (adds.hits, adds.document_id, adds.document) == ([], "d0", {})
    assert (one.alert_id, one.documents, one.step_seconds, list(one.values)) == ("window", 1, 1, [1, 2.5])
    system.matcher.close()


async def test_who_listens_to_silence_is_told_of_the_earliest_document_of_each_partition() -> None:
    system = System()
    quiet = {"window_seconds": 60, "trigger_on": "no_results", "time_domain": "event_time"}
    attach(system, quiet=quiet, count={"window_seconds": 60, "min_count": 2})

    def at(offset: int, seconds: int, partition: int = 0) -> Arrival:
        made = arrival(offset, kind="visit")
        event = replace(made.event, occurred_at=NOW + timedelta(seconds=seconds))
        return replace(made, event=event, partition=partition)

    found = await told(system, at(0, 5), at(1, 7), at(2, 3), at(3, 4), at(4, 9, partition=1))
    assert [(record.document_id, [one.documents for one in record.contributions]) for record in found] == [
        ("d0", [0]),
        ("d2", [0]),
        ("d4", [0]),
    ]
    assert await told(system, at(5, 4)) == []
    # Another that listens begins now.
    attach(system, quiet=quiet, also={**quiet, "inputs": {"a": 1}})
    (record,) = await told(system, at(6, 8))
    assert sorted(one.alert_id for one in record.contributions) == ["also", "quiet"]
    system.matcher.close()


async def test_a_document_adds_nothing_to_an_alert_whose_effect_it_is() -> None:
    system = System()
    attach(system, one={"window_seconds": 60, "min_count": 2}, other={"window_seconds": 60, "min_count": 2})
    (record,) = await told(system, replace(arrival(0, kind="order"), causes=("one",)))
    assert [contribution.alert_id for contribution in record.contributions] == ["other"]
    assert record.caused_by == ("one",)
    system.matcher.close()


async def test_alerts_come_and_go_between_the_two_kinds() -> None:
    system = System()
    attach(system, a={"window_seconds": 60, "min_count": 2})
    assert [len(record.contributions) for record in await told(system, arrival(0, kind="order"))] == [1]
    system.put("alert", "a", retriever_id="r")
    (fires,) = await told(system, arrival(1, kind="order"))
    assert ([hit.alert_id for hit in fires.hits], fires.contributions) == (["a"], ())
    system.put("alert", "a", retriever_id="r", window_seconds=60, min_count=2)
    (adds,) = await told(system, arrival(2, kind="order"))
    assert (adds.hits, len(adds.contributions)) == ([], 1)
    system.put("alert", "a", retriever_id="r", window_seconds=60, min_count=2, enabled=False)
    assert await told(system, arrival(3, kind="order")) == []
    system.matcher.close()


async def test_the_series_is_that_of_the_question() -> None:
    system = System()
    attach(system, a={"window_seconds": 60, "min_count": 2})
    series = [(await told(system, arrival(0, kind="order")))[0].contributions[0].series]
    for fields in ({"name": "other"}, {"min_count": 9}, {"inputs": {"x": 1}}, {"window_seconds": 120}):
        system.put("alert", "a", retriever_id="r", **{"window_seconds": 60, "min_count": 2, **fields})
        series.append((await told(system, arrival(1, kind="order")))[0].contributions[0].series)
    assert series[0] == series[1] == series[2]
    assert len(set(series[2:])) == 3
    system.matcher.close()
