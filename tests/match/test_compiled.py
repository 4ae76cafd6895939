"""Executions written straight as bytes are the records that hits would make."""

import random
from datetime import UTC, datetime
from typing import Any

import numpy as np

from schemas.events.alert_result import encode_alert_result
from schemas.events.document import DocumentEvent
from schemas.ids import ExecutionHasher
from streams.engines.retrieval.percolate.compile import compile_plan
from streams.match.alerts import StandingAlert
from streams.match.arrivals import Arrival
from streams.match.compiled import Compiled
from streams.match.results import Checked, compose, results

NOW = datetime(2024, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)
CHECKED = Checked(NOW, 7, 42)
HASHER = ExecutionHasher("tests")
URI = "mixpeek://x@v1/e"


def alert(number: int, chance: random.Random) -> StandingAlert:
    parameters: dict[str, Any] = {"field": "n", "operator": "lte", "value": chance.randrange(6)}
    stages = [{"config": {"stage_id": "attribute_filter", "parameters": parameters}}]
    if number % 3 == 0:
        search = {"feature_uri": URI, "query": [chance.uniform(-1, 1), 1.0], "min_score": 0.5}
        stages.append({"config": {"stage_id": "feature_search", "parameters": {"searches": [search]}}})
    return StandingAlert(
        f'alt "{number}"', number, 3, f"ret_ü{number}", (3, -chance.randrange(2), number), {},
        compile_plan({"stages": stages}, {}),
    )  # fmt: skip


def arrival(offset: int, chance: random.Random) -> Arrival:
    event = DocumentEvent(
        "document.upserted", "ns", "col", f"d/{offset}\\", NOW,
        payload={"n": chance.randrange(6), "title": "naïve \"quotes\" \n"},
        text=chance.choice([None, "flu"]), asset_id=chance.choice([None, "as"]),
        event_id=chance.choice([None, "e1"]),
        features={URI: np.array([chance.uniform(-1, 1), 1.0], dtype=np.float32)},
    )  # fmt: skip
    return Arrival("documents", 2, offset, NOW, event, chance.choice([(), ('alt "1"',), ('alt "0"', "trig")]))


def test_bytes_are_those_of_the_record_while_alerts_come_and_go() -> None:
    for seed in range(15):
        chance = random.Random(seed)
        standing = [alert(number, chance) for number in range(24)]
        arrivals = [arrival(offset, chance) for offset in range(20)]
        compiled = Compiled()
        compiled.add(sorted(standing[:18], key=lambda item: item.order))
        for step in range(3):
            wanted = [
                encode_alert_result(record)
                for item, hits in zip(arrivals, compiled.hits(compiled.begin(arrivals)), strict=True)
                if hits and (record := compose(item, hits, CHECKED, HASHER)) is not None
            ]
            made = results(arrivals, compiled.executions(arrivals, compiled.begin(arrivals)), CHECKED, HASHER)
            assert [result.value for result in made] == wanted
            assert {result.key for result in made} <= {item.event.key for item in arrivals}
            assert wanted
            out, taken = standing[step * 4 : step * 4 + 3], standing[18 + step * 2 : 20 + step * 2]
            compiled.remove(out)
            compiled.add(taken)
        assert len(compiled) == 24 - 9
