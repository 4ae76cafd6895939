"""Executions written straight as bytes are the records that hits would make."""

import random
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.events.alert_result import encode_alert_result
from schemas.events.document import DocumentEvent
from schemas.ids import ExecutionHasher
from streams.engines.retrieval.percolate.compile import compile_plan
from streams.engines.retrieval.percolate.plan import similarity
from streams.engines.retrieval.vectors.cosine import DIGITS
from streams.match.alerts import StandingAlert
from streams.match.arrivals import Arrival
from streams.match.compiled import Compiled, _similarity
from streams.match.results import Checked, compose, results

NOW = datetime(2024, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)
CHECKED = Checked(NOW, 7, 42)
HASHER = ExecutionHasher("tests")
URI = "mixpeek://x@v1/e"
STEPS = 10**DIGITS


def alert(number: int, chance: random.Random) -> StandingAlert:
    """By turns one that filters, one that searches, and one that does both."""
    stages: list[dict[str, Any]] = []
    if number % 3 != 1:
        parameters = {"field": "n", "operator": "lte", "value": chance.randrange(6)}
        stages.append({"config": {"stage_id": "attribute_filter", "parameters": parameters}})
    if number % 3 != 2:
        search: dict[str, Any] = {"feature_uri": URI, "query": [chance.uniform(-1, 1), 1.0], "min_score": 0.5}
        if number % 2:
            # From all around, and near to none of them.
            search |= {"query": [chance.uniform(-1, 1), chance.uniform(-1, 1)], "min_score": 0.0}
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


@given(st.integers(-STEPS, STEPS).map(lambda steps: steps / STEPS))
@example(-0.0)
@example(1.0 + 1 / STEPS)
@example(-1.0 - 1 / STEPS)
def test_what_is_written_of_a_cosine_is_what_is_said_of_it(cosine: float) -> None:
    score, words = similarity(cosine)
    assert _similarity(cosine) == (orjson.dumps(score), orjson.dumps(words), orjson.dumps(cosine))


def test_what_is_written_of_a_cosine_changes_its_form_where_what_is_said_does() -> None:
    """Every cosine about 0 and 1, and a score written as 1e-05 in words and as 1e-5 in JSON among them."""
    for middle in (-STEPS, 0, STEPS):
        for steps in range(middle - 2_000, middle + 2_001):
            score, words = similarity(steps / STEPS)
            told = orjson.dumps(score), orjson.dumps(words), orjson.dumps(steps / STEPS)
            assert _similarity(steps / STEPS) == told
