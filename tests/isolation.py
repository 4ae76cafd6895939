"""Two tenants with one of everything each, and every route of the application as requests that name either."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from psycopg.types.json import Jsonb

from schemas.events.alert_result import AlertHit, encode_alert_result
from schemas.events.document import UPSERTED, DocumentEvent
from schemas.ids import execution_id
from schemas.topics import ALERT_RESULTS
from streams.runtime.agent import Context
from tests.api import make
from tests.query.support import apply, result
from tests.retrieval.storing import store

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
_PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")
_UNKNOWN = "9zz9zz9zz9"


@dataclass(frozen=True, eq=False)
class Tenant:
    """A namespace and, by kind, the ids and names of what is in it. The word is in everything it has."""

    word: str
    namespace_id: str
    ids: Mapping[str, str]
    names: Mapping[str, str]

    def texts(self) -> set[str]:
        """What nobody else may be told."""
        return {self.word, self.namespace_id, *self.ids.values()}


@dataclass(frozen=True)
class Operation:
    """A method of a route."""

    method: str
    path: str
    parameters: tuple[str, ...] = field(default=())

    def url(self, values: Mapping[str, str]) -> str:
        """The path with these values in it."""
        return _PARAMETER.sub(lambda found: values[found[1]], self.path)


def operations(app: FastAPI) -> list[Operation]:
    """Every method of every route that answers under a path of the API."""
    found = [
        Operation(method, str(route.path), tuple(_PARAMETER.findall(str(route.path))))
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute)
        for method in sorted(route.methods or ())
    ]
    assert len(found) > 100
    return found


async def tenant(api: httpx.AsyncClient, context: Context, word: str, offset: int) -> Tenant:
    """Make one of everything in a namespace of its own. ``api`` is a caller with every right."""
    names = {"namespace": f"{word}-space"}
    namespace = (await make.made(api, "/v1/namespaces", {"namespace_name": names["namespace"]}))["namespace_id"]
    api.headers["X-Namespace"] = namespace
    marked = {"description": f"about {word}"}
    collection = await make.collection(api, f"{word}-collection", **marked)
    retriever = await make.retriever(
        api, f"{word}-retriever", collection_identifiers=[collection["collection_id"]], **marked
    )
    alert = await make.alert(api, retriever["retriever_id"], f"{word}-alert", **marked)
    cluster = await make.cluster(api, collection["collection_id"], f"{word}-cluster")
    ids = {
        "collection": collection["collection_id"],
        "retriever": retriever["retriever_id"],
        "alert": alert["alert_id"],
        "cluster": cluster["cluster_id"],
    }
    schedule = {"trigger_type": "cron", "schedule_config": {"cron_expression": "0 0 1 1 *"}, **marked}
    action = {"action_type": "cluster", "action_config": {"cluster_id": ids["cluster"]}}
    ids["trigger"] = (await make.made(api, "/v1/triggers", {**schedule, **action}))["trigger_id"]
    ids["cluster_trigger"] = (
        await make.made(api, "/v1/clusters/triggers", {**schedule, "cluster_id": ids["cluster"]})
    )["trigger_id"]
    lookup = await make.retriever(
        api,
        f"{word}-by-code",
        stages=[make.filter_stage({"field": "code", "operator": "eq", "value": "{{INPUT.code}}"})],
    )
    taxonomy = {
        "taxonomy_type": "flat",
        "retriever_id": lookup["retriever_id"],
        "input_mappings": [{"input_key": "code", "source_type": "payload", "path": "code"}],
        "source_collection": {"collection_id": ids["collection"]},
    }
    ids["taxonomy"] = (
        await make.made(api, "/v1/taxonomies", {"taxonomy_name": f"{word}-taxonomy", "config": taxonomy, **marked})
    )["taxonomy_id"]
    task = await api.post(f"/v1/clusters/{ids['cluster']}/execute")
    assert task.status_code == 200, task.text
    ids["task"] = task.json()["task_id"]
    ids["document"] = f"doc_{word}"
    event = DocumentEvent(
        UPSERTED, namespace, ids["collection"], ids["document"], NOW, payload={"title": word}, text=f"{word} ebola"
    )
    await store(context.database, [event])
    ids |= await _runs(context, namespace, ids, word, offset)
    names |= {kind: f"{word}-{kind}" for kind in ("collection", "retriever", "alert", "cluster", "taxonomy")}
    return Tenant(word, namespace, ids, names)


async def _runs(
    context: Context, namespace: str, ids: Mapping[str, str], word: str, offset: int
) -> dict[str, str]:
    """An execution of the retriever, one of the alert, and a run of the cluster."""
    run, cluster_run = f"exec_{word}run", f"run_{word}"
    async with context.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO retriever_executions VALUES (%s, %s, %s, 'completed', %s, %s, %s)",
            (run, namespace, ids["retriever"], NOW, NOW, Jsonb({"execution_id": run, "note": word})),
        )
        await connection.execute(
            "INSERT INTO cluster_runs (run_id, cluster_id, namespace_id, job_id, status, num_clusters, num_points,"
            " created_at, completed_at) VALUES (%s, %s, %s, %s, 'completed', 0, 0, %s, %s)",
            (cluster_run, ids["cluster"], namespace, f"job_{word}", NOW, NOW),
        )
        row = await (
            await connection.execute("SELECT number FROM definitions WHERE id = %s", (ids["alert"],))
        ).fetchone()
    assert row is not None
    hit = AlertHit(row[0], ids["alert"], 1, ids["retriever"], 1.0, f"because of {word}", {})
    record = result(offset, hit, namespace_id=namespace, document={"document_id": ids["document"], "title": word})
    await apply(context, ALERT_RESULTS, encode_alert_result(record))
    return {"run": cluster_run, "execution": run, "alert_execution": execution_id(record.base, row[0])}


_KINDS = {
    "alert_identifier": ("alert",),
    "retriever_id": ("retriever",),
    "collection_identifier": ("collection",),
    "document_id": ("document",),
    "cluster_identifier": ("cluster",),
    "cluster_id": ("cluster",),
    "run_id": ("run",),
    "taxonomy_identifier": ("taxonomy",),
    "trigger_id": ("trigger", "cluster_trigger"),
    "task_id": ("task",),
    "execution_id": ("execution", "alert_execution"),
    "namespace_identifier": ("namespace",),
    "namespace_id": ("namespace",),
}


def named(tenant: Tenant, parameter: str) -> list[str]:
    """What a path parameter may name of a tenant: by id and by name; of a parameter that is new, everything."""
    everything = {**tenant.ids, "namespace": tenant.namespace_id}
    kinds = _KINDS.get(parameter, tuple(everything))
    return [everything[kind] for kind in kinds] + [tenant.names[kind] for kind in kinds if kind in tenant.names]


def aims(operation: Operation, own: Tenant, foreign: Tenant) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Path values that name something foreign, each with values that are alike and name nothing: everything
    foreign, and something foreign in something of one's own."""
    for position, parameter in enumerate(operation.parameters):
        for theirs in named(foreign, parameter):
            for before in dict.fromkeys((own, foreign)) if position else (foreign,):
                outer = {name: named(before, name)[0] for name in operation.parameters if name != parameter}
                yield {**outer, parameter: theirs}, {**outer, parameter: unknown(theirs)}


def unknown(identifier: str) -> str:
    """An identifier of the same form that names nothing."""
    if identifier.startswith("exec_") and len(identifier) > 20:
        return identifier[:-1] + ("0" if identifier[-1] != "0" else "1")
    prefix, mark, _ = identifier.partition("_")
    return f"{prefix}_{_UNKNOWN}" if mark else f"{_UNKNOWN}-space"
