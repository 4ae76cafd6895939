"""Match is killed behind its results and the trigger station at every step of a window; each window is decided
once all the same."""

from pathlib import Path

import pytest

from schemas.events.alert_result import decode_alert_result
from schemas.topics import ALERT_RESULTS
from streams.collect.station import build as collect
from streams.query.station import build as query
from streams.relay.station import build as relay
from streams.runtime.agent import Context
from tests.flow.system import system
from tests.flow.test_windows import EXPECTED, LAST, define, documents, executions, produce
from tests.kill.system import System
from tests.log import read_topic
from tests.support import TestBroker, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.kill]

STEPS = ("trigger:before-fold-commit", "trigger:before-window-commit", "trigger:after-window-commit@2")


async def test_a_window_is_decided_once_however_its_stations_are_killed(
    context: Context, real_kafka: TestBroker, logs: Path
) -> None:
    children = System(context.settings, logs)
    try:
        async with system(context, [collect, relay, query]) as http:
            namespace_id = (await http.get("/v1/namespaces/default")).json()["namespace_id"]
            collection_id = await define(http)
            await produce(context, collection_id, [*documents(), LAST], namespace_id, one_by_one=False)
            # What match has told before it dies is enough to add up.
            victims = [
                await children.start_worker("match", "match", "match:after-produce"),
                await children.start_worker("trigger", "trigger", STEPS[0]),
            ]
            for killed in victims:
                await children.died_of_its_fault(killed)
            await children.start_worker("match", "match")
            for step in STEPS[1:]:
                killed = await children.start_worker("trigger", "trigger", step)
                await children.died_of_its_fault(killed)
            await children.start_worker("trigger", "trigger")

            async def all_fired() -> bool:
                children.check()
                return await executions(http) == EXPECTED

            await eventually(all_fired, timeout=60, every=0.2, what="all windows fire")
    finally:
        await children.stop()
    told = [decode_alert_result(record.value) for record in await read_topic(context, ALERT_RESULTS)]
    adding = [record.base for record in told if record.contributions]
    assert len(adding) > len(set(adding)), "match has not told anything twice"
    decided = [identifier for record in told for identifier, _ in record.executions()]
    assert len(decided) == len(set(decided)) == sum(map(len, EXPECTED.values()))
