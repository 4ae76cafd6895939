"""A list by cursor while executions arrive: all that was there when it began, each once, and exact totals."""

import asyncio
from datetime import timedelta
from random import Random

import pytest

from schemas.events.alert_result import AlertResultRecord
from schemas.ids import execution_id
from schemas.topics import ALERT_RESULTS
from streams.runtime.agent import Context
from streams.runtime.definitions import StoredDefinition
from tests.query.support import (
    NOON,
    apply,
    client,
    define_alert,
    define_namespace,
    hit,
    keyed,
    result,
)


def arrivals(chance: Random, alerts: list[StoredDefinition], first: int, count: int) -> list[AlertResultRecord]:
    """Documents of any day, in no order: older than what is listed, newer, or of the same instant."""
    return [
        result(
            first + number,
            *map(hit, chance.sample(alerts, chance.randint(1, 3))),
            at=NOON + timedelta(days=chance.randrange(-3, 3), seconds=chance.choice((0, chance.randrange(9_999)))),
            event_id=f"e{first + number}" if chance.random() < 0.3 else None,
        )
        for number in range(count)
    ]


def named(records: list[AlertResultRecord]) -> dict[str, str]:
    """Execution id → alert id."""
    return {execution_id(one.base, hit.alert_number): hit.alert_id for one in records for hit in one.hits}


@pytest.mark.parametrize("seed", range(3))
async def test_what_was_there_comes_once_whatever_arrives_meanwhile(context: Context, seed: int) -> None:
    chance = Random(seed)
    await define_namespace(context)
    alerts = [await define_alert(context, f"{number}") for number in range(4)]
    before = arrivals(chance, alerts, 0, 60)
    await apply(context, ALERT_RESULTS, *(value for _, value in keyed(*before)))
    there, everything = named(before), named(before)
    path = chance.choice(["/v1/alerts/executions", "/v1/alerts/alt_0/executions"])
    listed: list[str] = []
    cursor, pages = "", 0
    async with client(context) as http:
        while True:
            page = (await http.get(f"{path}?limit={chance.randint(1, 17)}{cursor}")).json()
            wanted = [
                one for one, alert in everything.items() if path == "/v1/alerts/executions" or alert == "alt_0"
            ]
            assert page["total_count"] == len(wanted)
            listed += [item["execution_id"] for item in page["results"]]
            if page["pagination"]["next_cursor"] is None:
                break
            cursor = f"&cursor={page['pagination']['next_cursor']}"
            pages += 1
            if pages <= 8:
                # Two workers at once, and some of it is a repeat.
                more = [arrivals(chance, alerts, 1_000 * pages + 500 * worker, 4) for worker in range(2)]
                repeats = chance.sample(before, 2)
                await asyncio.gather(
                    *(
                        apply(context, ALERT_RESULTS, *(value for _, value in keyed(*batch, *repeats)))
                        for batch in more
                    )
                )
                for batch in more:
                    everything.update(named(batch))
    assert len(listed) == len(set(listed))
    mine = {one for one, alert in there.items() if path == "/v1/alerts/executions" or alert == "alt_0"}
    assert mine <= set(listed) <= everything.keys()
