"""The alerts of a collection are read while definitions change and while the event loop lives."""

import asyncio
import random

from schemas.events.definition import DefinitionRecord
from streams.match.alerts import standing_alerts
from streams.match.standings import Standings
from tests.match.test_alerts import NS, Definitions

COUNT = 300


def a_change(definitions: Definitions, chance: random.Random) -> DefinitionRecord:
    """Some definition that bears on the collection, written again, switched off or deleted."""
    name = f"a{chance.randrange(COUNT)}"
    match chance.randrange(4):
        case 0:
            parameters = {"field": "a", "value": chance.randrange(9)}
            stage = {"config": {"stage_id": "attribute_filter", "parameters": parameters}}
            return definitions.put("retriever", f"ret_{name}", stages=[stage])
        case 1:
            return definitions.put("alert", name, retriever_id=f"ret_{name}", enabled=chance.random() < 0.5)
        case 2:
            return definitions.put("retriever", f"ret_{name}", deleted=True)
    names = chance.sample(range(COUNT), COUNT - chance.randrange(20))
    return definitions.attach(*({"alert_id": f"a{number}", "priority": chance.randrange(3)} for number in names))


def defined() -> Definitions:
    definitions = Definitions()
    for number in range(COUNT):
        definitions.alert(f"a{number}")
    definitions.attach(*({"alert_id": f"a{number}"} for number in range(COUNT)))
    return definitions


async def test_what_changes_meanwhile_is_taken_in() -> None:
    for seed in range(12):
        chance, definitions = random.Random(seed), defined()
        standings = Standings(lambda definitions=definitions: definitions.catalog)  # type: ignore[misc]
        reading = asyncio.create_task(standings.read(NS, "col"))
        while not reading.done():
            for _ in range(chance.randrange(3)):
                assert list(standings.change(a_change(definitions, chance))) == []
            await asyncio.sleep(0)
        now, anew = standings.of(NS, "col"), standing_alerts(definitions.catalog, NS, "col")
        assert [(alert.order, alert.version, alert.rule) for alert in now.alerts] == [
            (alert.order, alert.version, alert.rule) for alert in anew.alerts
        ]
        assert [alert.plan.predicate for alert in now.alerts if alert.plan] == [
            alert.plan.predicate for alert in anew.alerts if alert.plan
        ]
        assert now.refused == anew.refused


async def test_the_event_loop_has_its_turn() -> None:
    definitions = defined()
    standings = Standings(lambda: definitions.catalog)
    reading, turns = asyncio.create_task(standings.read(NS, "col")), 0
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > COUNT / 100
    assert len(standings.of(NS, "col").alerts) == COUNT


async def test_a_collection_that_goes_meanwhile_is_not_kept() -> None:
    definitions = defined()
    standings = Standings(lambda: definitions.catalog)
    reading = asyncio.create_task(standings.read(NS, "col"))
    await asyncio.sleep(0)
    list(standings.change(definitions.put("collection", "col", deleted=True)))
    await reading
    assert standings.of(NS, "col").alerts == ()
    definitions.attach({"alert_id": "a1"})
    assert len(standings.of(NS, "col").alerts) == 1
