"""Alerts that change while documents are matched: the same results as an engine that was compiled anew."""

import asyncio
import math
import random
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from schemas.events.alert_result import decode_alert_result
from schemas.events.definition import DefinitionRecord, Kind
from schemas.events.document import DocumentEvent
from schemas.headers import DefinitionsVersion
from schemas.ids import ExecutionHasher
from streams.match import matching
from streams.match.arrivals import Arrival
from streams.match.matching import Matched, Matcher, Percolation
from streams.match.standings import Standings
from streams.runtime.catalog import Catalog

NS = "ns"
NOW = datetime(2024, 5, 1, tzinfo=UTC)
HASHER = ExecutionHasher("tests")


class System:
    """A catalog, and a matcher that follows it."""

    def __init__(self) -> None:
        self.catalog = Catalog("epoch")
        self.standings = Standings(lambda: self.catalog)
        self.matcher = Matcher(self.standings, lambda: self.catalog, lambda: NOW)
        self._number = 0

    def put(self, kind: Kind, identifier: str, **body: Any) -> None:
        """Write a definition; the matcher follows as the station has it."""
        self._number += 1
        held = self.catalog.get(kind, NS, identifier)
        record = DefinitionRecord(
            kind,
            NS,
            identifier,
            self._number if held is None else held.number,
            DefinitionsVersion("epoch", self._number),
            body=body,
        )
        self.catalog.fold(record)
        for key, changes in self.standings.change(record):
            self.matcher.change(key, changes)

    def fresh(self) -> Matcher:
        """A matcher that knows nothing yet."""
        return Matcher(Standings(lambda: self.catalog), lambda: self.catalog, lambda: NOW)


def asks(field: str, value: object) -> list[dict[str, Any]]:
    parameters = {"field": field, "operator": "eq", "value": value}
    return [{"stage_name": "is", "config": {"stage_id": "attribute_filter", "parameters": parameters}}]


def arrival(offset: int, **payload: Any) -> Arrival:
    event = DocumentEvent("document.upserted", NS, "col", f"d{offset}", NOW, payload=payload)
    return Arrival("documents", 0, offset, NOW, event)


Fired = dict[str, list[tuple[str, int]]]


def told(matched: Matched) -> Fired:
    records = [decode_alert_result(result.value) for result in matched.results]
    return {record.document_id: [(hit.alert_id, hit.alert_version) for hit in record.hits] for record in records}


async def firing(matcher: Matcher, arrivals: list[Arrival]) -> Fired:
    return told(await matcher.matched(await matcher.percolate(arrivals), HASHER))


def fired(matcher: Matcher, arrivals: list[Arrival]) -> Fired:
    return asyncio.run(firing(matcher, arrivals))


def test_changes_give_what_compiling_anew_gives_in_the_same_order() -> None:
    for seed in range(20):
        chance = random.Random(seed)
        system = System()
        arrivals = [arrival(number, n=number % 4, m=number % 3) for number in range(12)]
        for _ in range(40):
            name = chance.choice("abcdefgh")
            match chance.randrange(3):
                case 0:
                    system.put("retriever", f"ret_{name}", stages=asks(chance.choice("nm"), chance.randrange(4)))
                case 1:
                    system.put(
                        "alert", name, retriever_id=f"ret_{chance.choice('abcd')}", enabled=chance.random() < 0.9
                    )
                case _:
                    names = chance.sample("abcdefgh", chance.randrange(9))
                    applications = [{"alert_id": one, "priority": chance.randrange(3)} for one in names]
                    system.put("collection", "col", alert_applications=applications)
            assert fired(system.matcher, arrivals) == fired(system.fresh(), arrivals)


def searches(chance: random.Random) -> list[dict[str, Any]]:
    search = {"feature_uri": "f", "query": [chance.gauss(0, 1) for _ in range(4)], "min_score": 0.6}
    return [{"stage_name": "is", "config": {"stage_id": "feature_search", "parameters": {"searches": [search]}}}]


async def test_chunks_in_hand_fire_by_the_alerts_they_were_begun_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever thread does what of them, and though nobody asks for some."""
    chance = random.Random(7)
    noise = np.random.default_rng(7)
    system = System()
    names = [f"a{number}" for number in range(12)]
    for name in names:
        system.put("retriever", f"ret_{name}", stages=asks("n", 0))
        system.put("alert", name, retriever_id=f"ret_{name}")
    system.put("collection", "col", alert_applications=[{"alert_id": name} for name in names])
    waiting: deque[tuple[Percolation, Fired]] = deque()
    hits = 0
    for step in range(300):
        if chance.random() < 0.5:
            name = chance.choice(names)
            stages = searches(chance) if chance.random() < 0.6 else asks("n", chance.randrange(4))
            system.put("retriever", f"ret_{name}", stages=stages)
        arrivals = [arrival(step * 10 + at, n=chance.randrange(4)) for at in range(chance.randrange(1, 8))]
        for one in arrivals:
            one.event.features = {"f": noise.normal(size=4).astype(np.float32)}
        monkeypatch.setattr(matching, "LONG_SECONDS", chance.choice((-1.0, math.inf)))
        monkeypatch.setattr(matching, "WORTH_A_THREAD", chance.choice((0, 10**9)))
        wanted = await firing(system.fresh(), arrivals)
        waiting.append((await system.matcher.percolate(arrivals), wanted))
        if chance.random() < 0.1:
            waiting.clear()
        while len(waiting) > chance.randrange(4):
            percolation, wanted = waiting.popleft()
            assert told(await system.matcher.matched(percolation, HASHER)) == wanted
            hits += sum(map(len, wanted.values()))
    assert hits > 1_000


def test_one_change_among_many_alerts_does_not_read_the_others_again() -> None:
    many = 20_000
    system = System()
    for number in range(many):
        system.put("retriever", f"r{number}", stages=asks("n", number))
        system.put("alert", f"a{number}", retriever_id=f"r{number}")
    system.put("collection", "col", alert_applications=[{"alert_id": f"a{number}"} for number in range(many)])
    arrivals = [arrival(0, n=7), arrival(1, n=-1)]
    started = time.perf_counter()
    assert fired(system.matcher, arrivals) == {"d0": [("a7", 16)]}
    compiled = time.perf_counter() - started
    system.put("retriever", "r7", stages=asks("n", -1))
    started = time.perf_counter()
    assert fired(system.matcher, arrivals) == {"d1": [("a7", 16)]}
    # Two thousandths of it in fact; a machine that is busy must not fail this.
    assert time.perf_counter() - started < compiled / 10
