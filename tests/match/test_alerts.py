"""Which alerts stand on a collection, in which order, and what a change of definitions changes."""

import random
from typing import Any

from schemas.events.definition import DefinitionRecord, Kind
from schemas.headers import DefinitionsVersion
from streams.match.alerts import Standing, after, changes, standing_alerts
from streams.runtime.catalog import Catalog

NS = "ns"
STAGE = {"config": {"stage_id": "attribute_filter", "parameters": {"field": "a", "value": 1}}}


class Definitions:
    """A catalog written by hand."""

    def __init__(self) -> None:
        self.catalog = Catalog("epoch")
        self._number = 0

    def put(self, kind: Kind, identifier: str, *, deleted: bool = False, **body: Any) -> DefinitionRecord:
        self._number += 1
        version = DefinitionsVersion("epoch", self._number)
        held = self.catalog.get(kind, NS, identifier)
        number = self._number if held is None else held.number
        record = DefinitionRecord(kind, NS, identifier, number, version, deleted=deleted, body=body)
        self.catalog.fold(record)
        return record

    def alert(self, name: str, *, retriever: dict[str, Any] | None = None, **body: Any) -> None:
        self.put("retriever", f"ret_{name}", **(retriever or {"stages": [STAGE]}))
        self.put("alert", name, retriever_id=f"ret_{name}", **body)

    def attach(self, *applications: dict[str, Any], **body: Any) -> DefinitionRecord:
        return self.put("collection", "col", alert_applications=list(applications), **body)

    def names(self) -> list[str]:
        return [alert.alert_id for alert in standing_alerts(self.catalog, NS, "col").alerts]


def test_order_is_phase_then_priority_then_the_oldest() -> None:
    definitions = Definitions()
    for name in "abcdef":
        definitions.alert(name)
    definitions.attach(
        {"alert_id": "a"},
        {"alert_id": "b", "priority": 5},
        {"alert_id": "c", "priority": 5, "execution_phase": None},
        {"alert_id": "d", "execution_phase": 1},
        {"alert_id": "e", "execution_phase": 4, "priority": 1000},
        {"alert_id": "f", "priority": None},
    )
    assert definitions.names() == ["d", "b", "c", "a", "f", "e"]


def test_only_enabled_alerts_attached_on_ingest_stand() -> None:
    definitions = Definitions()
    definitions.alert("on")
    definitions.alert("off", enabled=False)
    definitions.alert("later")
    definitions.attach(
        {"alert_id": "on", "execution_mode": "on_ingest"},
        {"alert_id": "on"},
        {"alert_id": "off"},
        {"alert_id": "later", "execution_mode": "scheduled"},
        {"alert_id": "deleted"},
    )
    assert definitions.names() == ["on"]
    definitions.attach({"alert_id": "on"}, enabled=False)
    assert definitions.names() == []
    assert standing_alerts(definitions.catalog, NS, "unknown").alerts == ()
    assert standing_alerts(definitions.catalog, "other", "col").alerts == ()


def test_an_alert_that_cannot_be_checked_is_reported() -> None:
    definitions = Definitions()
    definitions.alert("fine")
    definitions.alert("elsewhere", retriever={"stages": [STAGE], "collection_identifiers": ["col_other"]})
    definitions.alert("many", min_count=3)
    definitions.put("alert", "lost", retriever_id="ret_gone")
    definitions.attach(*({"alert_id": name} for name in ("fine", "elsewhere", "many", "lost")))
    standing = standing_alerts(definitions.catalog, NS, "col")
    assert [alert.alert_id for alert in standing.alerts] == ["fine"]
    reasons = dict(standing.refused)
    assert "col_other" in reasons["elsewhere"]
    assert "min_count 3" in reasons["many"]
    assert "ret_gone" in reasons["lost"]


def test_an_alert_knows_its_number_and_version() -> None:
    definitions = Definitions()
    definitions.alert("a")
    definitions.attach({"alert_id": "a"})
    (alert,) = standing_alerts(definitions.catalog, NS, "col").alerts
    assert (alert.number, alert.version, alert.retriever_id) == (2, 2, "ret_a")


FROM_DOCUMENT = [{"input_key": "face", "source": {"source_type": "document_field", "path": "face"}}]
SEARCH = {
    "config": {
        "stage_id": "feature_search",
        "parameters": {"searches": [{"feature_uri": "face", "query": "{{INPUT.face}}", "min_score": 0.9}]},
    }
}
ENRICH = {"config": {"stage_id": "document_enrich", "parameters": {"target_collection_id": "people"}}}


def test_alerts_that_need_other_documents() -> None:
    definitions = Definitions()
    definitions.put("collection", "people")
    definitions.alert("plain")
    definitions.alert("joined", retriever={"stages": [STAGE, ENRICH]})
    definitions.alert("watch", retriever={"stages": [SEARCH], "collection_identifiers": ["people"]}, min_count=3)
    definitions.alert("nowhere", retriever={"stages": [SEARCH]})
    definitions.attach(
        {"alert_id": "plain"},
        {"alert_id": "joined", "priority": 1},
        {"alert_id": "watch", "input_mappings": FROM_DOCUMENT},
        {"alert_id": "nowhere", "input_mappings": FROM_DOCUMENT},
    )
    standing = standing_alerts(definitions.catalog, NS, "col")
    assert [alert.alert_id for alert in standing.alerts] == ["joined", "plain"]
    assert [(alert.alert_id, alert.references) for alert in standing.more] == [
        ("joined", frozenset({"people"})),
        ("watch", frozenset({"people"})),
    ]
    assert "collection_identifiers" in dict(standing.refused)["nowhere"]


def test_what_has_not_changed_is_the_same_object() -> None:
    definitions = Definitions()
    for name in "abc":
        definitions.alert(name)
    definitions.attach(*({"alert_id": name} for name in "abc"))
    standing = standing_alerts(definitions.catalog, NS, "col")
    a, b, c = standing.alerts

    record = definitions.put("alert", "b", retriever_id="ret_b", name="other")
    now, changed = after(standing, definitions.catalog, NS, "col", record)
    assert [alert.alert_id for alert in now.alerts] == ["a", "b", "c"]
    assert (now.alerts[0], now.alerts[2]) == (a, c)
    assert changed.removed == (b,)
    assert changed.added == (now.alerts[1],)

    record = definitions.put("retriever", "ret_c", stages=[STAGE, STAGE])
    later, changed = after(now, definitions.catalog, NS, "col", record)
    assert changed.removed == (c,)
    assert later.alerts[0] is a

    record = definitions.attach({"alert_id": "c"}, {"alert_id": "a"})
    last, changed = after(later, definitions.catalog, NS, "col", record)
    assert [alert.alert_id for alert in changed.removed] == ["b"]
    assert changed.added == ()
    assert set(last.alerts) == {a, later.alerts[2]}

    for other in (
        definitions.put("alert", "stranger", retriever_id="ret_a"),
        definitions.put("retriever", "ret_stranger", stages=[STAGE]),
        definitions.put("trigger", "a"),
        definitions.put("collection", "elsewhere", alert_applications=[{"alert_id": "a"}]),
    ):
        assert after(last, definitions.catalog, NS, "col", other)[0] is last


def test_following_changes_is_reading_everything_again() -> None:
    """Random changes, one by one: what stands, and an engine that takes only the changes, are as if read anew."""
    for seed in range(30):
        chance = random.Random(seed)
        definitions = Definitions()
        definitions.put("collection", "people")
        standing = Standing()
        engine: dict[int, object] = {}
        for _ in range(60):
            record = _any_change(definitions, chance)
            standing, changed = after(standing, definitions.catalog, NS, "col", record)
            for alert in changed.removed:
                assert engine.pop(alert.number) is alert
            for alert in changed.added:
                assert alert.number not in engine
                engine[alert.number] = alert
            fresh = standing_alerts(definitions.catalog, NS, "col")
            for one, other in ((standing.alerts, fresh.alerts), (standing.more, fresh.more)):
                assert [_known(alert) for alert in one] == [_known(alert) for alert in other]
            assert standing.refused == fresh.refused
            assert set(engine.values()) == set(standing.alerts)
        assert changes(standing, standing) == changes(Standing(), Standing())


def _known(alert: Any) -> tuple[Any, ...]:
    looks_up = alert.look_up is not None
    return alert.alert_id, alert.number, alert.version, alert.order, alert.references, looks_up, alert.rule


def _any_change(definitions: Definitions, chance: random.Random) -> DefinitionRecord:
    name = chance.choice("abcdef")
    kind = chance.choice(("alert", "alert", "retriever", "retriever", "collection", "people"))
    gone = chance.random() < 0.15
    if kind == "alert":
        retriever_id = f"ret_{chance.choice('abc')}"
        return definitions.put(
            "alert",
            name,
            deleted=gone,
            retriever_id=retriever_id,
            enabled=chance.random() < 0.8,
            n=chance.random(),
        )
    if kind == "retriever":
        stages = chance.choice(([STAGE], [STAGE, ENRICH], [SEARCH], []))
        where = chance.choice((["col"], ["people"], ["col", "people"], None))
        return definitions.put(
            "retriever", f"ret_{chance.choice('abc')}", deleted=gone, stages=stages, collection_identifiers=where
        )
    if kind == "people":
        return definitions.put("collection", "people", deleted=gone)
    applications = [
        {
            "alert_id": other,
            "priority": chance.randrange(3),
            "execution_mode": chance.choice(("on_ingest", "on_ingest", "on_demand")),
            **({"input_mappings": FROM_DOCUMENT} if chance.random() < 0.3 else {}),
        }
        for other in chance.sample("abcdef", chance.randrange(7))
    ]
    return definitions.attach(*applications, enabled=chance.random() < 0.9)
