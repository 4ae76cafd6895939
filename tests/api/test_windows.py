"""Alerts with a window: which may be attached, and what is said of the others."""

from typing import Any

import httpx
import pytest

from tests.api import make
from tests.api.make import refused

CONSTANT = [{"input_key": "_", "source": {"source_type": "constant", "value": 1}}]
MAPPED = [{"input_key": "x", "source": {"source_type": "document_field", "path": "x"}}]


def aggregate(*figures: dict[str, Any], **more: Any) -> dict[str, Any]:
    parameters = {"aggregations": list(figures), **more}
    return {"stage_name": "figures", "config": {"stage_id": "aggregate", "parameters": parameters}}


TOTAL = {"function": "sum", "field": "amount", "alias": "total"}


def attached(alert_id: str, mode: str = "on_ingest", mappings: Any = None) -> dict[str, Any]:
    one = {"alert_id": alert_id, "execution_mode": mode, "input_mappings": mappings or CONSTANT}
    return {"alert_applications": [one]}


async def alert_on(api: httpx.AsyncClient, stages: list[dict[str, Any]] | None = None, **alert: Any) -> str:
    filters = make.filter_stage(make.EBOLA)
    await make.collection(api)
    await make.made(api, "/v1/retrievers", {"retriever_name": "r", "stages": [filters, *(stages or [])]})
    return str((await make.alert(api, "r", "A", **alert))["alert_id"])


@pytest.mark.parametrize(
    ("stages", "alert"),
    [
        ([], {"min_count": 5}),
        ([], {"trigger_on": "no_results", "time_domain": "event_time"}),
        ([], {"threshold": {"field": "avg(score)", "operator": "gt", "value": 0.5}}),
        ([], {"threshold": {"field": "severity", "operator": "gte", "value": 3}, "min_count": 2}),
        ([], {"threshold": {"field": "count()", "operator": "lt", "value": 10}}),
        ([aggregate(TOTAL)], {"threshold": {"field": "total", "operator": "gt", "value": 100}}),
    ],
)
async def test_a_window_may_be_asked_for(api: httpx.AsyncClient, stages: list[Any], alert: dict[str, Any]) -> None:
    made = await alert_on(api, stages, window_seconds=600, **alert)
    answer = await api.patch("/v1/collections/news", json=attached(made))
    assert answer.status_code == 200, answer.text
    shown = (await api.get(f"/v1/alerts/{made}")).json()
    assert (shown["window_seconds"], shown["time_domain"]) == (600, alert.get("time_domain"))


@pytest.mark.parametrize(
    ("stages", "alert", "mappings", "words"),
    [
        ([], {"window_seconds": 3_601}, None, "must be whole minutes: 3600"),
        ([], {"min_count": 2, "trigger_on": "no_results"}, None, "goes without min_count"),
        (
            [],
            {"threshold": {"field": "sum(x)", "operator": "gt", "value": 1}, "trigger_on": "no_results"},
            None,
            "goes without a threshold",
        ),
        ([aggregate(TOTAL)], {}, None, "give the alert a threshold on one of its aliases"),
        (
            [aggregate(TOTAL)],
            {"threshold": {"field": "mean", "operator": "gt", "value": 1}},
            None,
            "'mean' is no alias of the aggregate; there are total",
        ),
        (
            [aggregate(TOTAL, group_by="country")],
            {"threshold": {"field": "total", "operator": "gt", "value": 1}},
            None,
            "stage figures: over a window, aggregate goes without group_by",
        ),
        (
            [],
            {"threshold": {"field": "median(x)", "operator": "gt", "value": 1}},
            None,
            "median cannot be kept over a window; count, sum, avg, min, max can",
        ),
        ([], {"threshold": {"field": "sum()", "operator": "gt", "value": 1}}, None, "sum needs a field"),
        ([], {"threshold": {"field": "avg(x)", "operator": "gt", "value": "1"}}, None, "compared with a number"),
        (
            [{"stage_name": "d", "config": {"stage_id": "mmr", "parameters": {}}}],
            {},
            None,
            "stage d: mmr depends on other documents",
        ),
        (
            [{"stage_name": "u", "config": {"stage_id": "unwind", "parameters": {"field": "tags"}}}],
            {},
            None,
            "stage u: unwind runs once a document has matched",
        ),
        ([], {}, MAPPED, "this alert looks each of them up"),
    ],
)
async def test_a_window_that_cannot_be_decided_is_refused_with_the_place(
    api: httpx.AsyncClient, stages: list[Any], alert: dict[str, Any], mappings: Any, words: str
) -> None:
    made = await alert_on(api, stages, **{"window_seconds": 600, **alert})
    error = refused(
        await api.patch("/v1/collections/news", json=attached(made, mappings=mappings)), 422, "ValidationError"
    )
    (problem,) = error["details"]["validation_errors"]
    assert problem["location"] == ["body", "alert_applications", 0]
    assert words in problem["message"]


async def test_a_window_is_for_documents_as_they_arrive(api: httpx.AsyncClient) -> None:
    made = await alert_on(api, window_seconds=600, min_count=5)
    error = refused(
        await api.patch("/v1/collections/news", json=attached(made, "scheduled")), 422, "ValidationError"
    )
    assert "attach it on_ingest" in error["message"]
    refused(await api.post("/v1/alerts", json={"name": "B", "window_seconds": 3_000_000}), 422, "ValidationError")


async def test_a_window_can_be_taken_off_where_the_alert_goes_without(api: httpx.AsyncClient) -> None:
    made = await alert_on(api, window_seconds=600, min_count=5)
    assert (await api.patch("/v1/collections/news", json=attached(made))).status_code == 200
    error = refused(await api.patch(f"/v1/alerts/{made}", json={"window_seconds": 0}), 409, "ConflictError")
    assert "min_count 5 needs other documents" in error["message"]
    changed = await api.patch(f"/v1/alerts/{made}", json={"window_seconds": 0, "min_count": 1})
    assert changed.status_code == 200, changed.text
    assert changed.json()["window_seconds"] is None
