"""Which alerts stand on a collection, and in which order."""

from typing import Any

from schemas.events.definition import DefinitionRecord, Kind
from schemas.headers import DefinitionsVersion
from streams.match.alerts import standing_alerts
from streams.runtime.catalog import Catalog

NS = "ns"
STAGE = {"config": {"stage_id": "attribute_filter", "parameters": {"field": "a", "value": 1}}}


class Definitions:
    """A catalog written by hand."""

    def __init__(self) -> None:
        self.catalog = Catalog("epoch")
        self._number = 0

    def put(self, kind: Kind, identifier: str, **body: Any) -> None:
        self._number += 1
        version = DefinitionsVersion("epoch", self._number)
        self.catalog.fold(DefinitionRecord(kind, NS, identifier, self._number, version, body=body))

    def alert(self, name: str, *, retriever: dict[str, Any] | None = None, **body: Any) -> None:
        self.put("retriever", f"ret_{name}", **(retriever or {"stages": [STAGE]}))
        self.put("alert", name, retriever_id=f"ret_{name}", **body)

    def attach(self, *applications: dict[str, Any], **body: Any) -> None:
        self.put("collection", "col", alert_applications=list(applications), **body)

    def names(self) -> list[str]:
        return [alert.alert_id for alert in standing_alerts(self.catalog, NS, "col").alerts]


def test_order_is_phase_then_priority_then_as_attached() -> None:
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
