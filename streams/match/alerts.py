"""The standing alerts of a collection, out of the definitions in force. Pure (contract 4.3, design section 4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.percolate.compile import compile_plan
from streams.engines.retrieval.percolate.plan import Plan
from streams.runtime.catalog import Catalog

ON_INGEST = "on_ingest"
ALERT_PHASE = 3


@dataclass(frozen=True, slots=True)
class StandingAlert:
    """An enabled alert that is checked when a document arrives."""

    alert_id: str
    number: int
    """Ends the alert's execution ids."""
    version: int
    """The definitions version of the alert, for the record."""
    retriever_id: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class Standing:
    """The alerts of one collection, in the order they are checked, and those that cannot be, with the reason."""

    alerts: tuple[StandingAlert, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()


def standing_alerts(catalog: Catalog, namespace_id: str, collection_id: str) -> Standing:
    """The alerts attached on ingest: by execution phase, then priority from high to low, then as attached.

    Nothing for a collection that is unknown or disabled. An alert whose definition cannot be decided from one
    document is refused when it is attached; one that gets here all the same is reported, never guessed.
    """
    collection = catalog.get("collection", namespace_id, collection_id)
    if collection is None or collection.body.get("enabled") is False:
        return Standing()
    applications = [
        application
        for application in collection.body.get("alert_applications") or ()
        if (application.get("execution_mode") or ON_INGEST) == ON_INGEST
    ]
    applications.sort(key=_order)
    alerts: dict[str, StandingAlert] = {}
    refused: list[tuple[str, str]] = []
    for application in applications:
        alert_id = application["alert_id"]
        try:
            alert = _standing(catalog, namespace_id, collection_id, application)
        except PlanError as error:
            refused.append((alert_id, str(error)))
        else:
            if alert is not None:
                alerts.setdefault(alert_id, alert)
    return Standing(tuple(alerts.values()), tuple(refused))


def _order(application: Mapping[str, Any]) -> tuple[int, int]:
    phase = application.get("execution_phase")
    return (ALERT_PHASE if phase is None else phase), -(application.get("priority") or 0)


def _standing(
    catalog: Catalog, namespace_id: str, collection_id: str, application: Mapping[str, Any]
) -> StandingAlert | None:
    alert = catalog.get("alert", namespace_id, application["alert_id"])
    if alert is None or alert.body.get("enabled") is False:
        return None
    retriever_id = alert.body.get("retriever_id") or ""
    retriever = catalog.get("retriever", namespace_id, retriever_id)
    if retriever is None:
        raise PlanError(f"its retriever {retriever_id!r} does not exist")
    plan = compile_plan(retriever.body, alert.body, application, collection_id=collection_id)
    return StandingAlert(alert.id, alert.number, alert.version.number, retriever_id, plan)
