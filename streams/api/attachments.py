"""Alerts attached to collections: what may be attached, and what an attached one may become (contract 4.3).

On ingest an alert whose inputs are constants is decided from the one arriving document; one that takes an input
from the document looks it up in the collections its retriever names. What can run neither way is refused when it
is attached, and so is a later change of its alert or retriever that would break it. What is attached for later
(scheduled, on_demand) is kept as it is.
"""

from collections.abc import Sequence

from schemas.api.base import JsonObject
from schemas.api.collection import ON_INGEST, AlertApplication, dimensions
from streams.api.collections import application_body, without_alert
from streams.api.naming import retrievers_asking
from streams.api.sizes import declared_sizes
from streams.api.store import require, save
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.look_up import LookUp, takes_from_document
from streams.engines.retrieval.execution.sizes import check_sizes, query_sizes
from streams.engines.retrieval.execution.standing import read_standing, reference_collections
from streams.engines.retrieval.execution.windowed import has_window, read_window
from streams.engines.retrieval.percolate.compile import compile_plan
from streams.engines.retrieval.percolate.constants import constant_inputs
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition, find_definition, select_definitions
from streams.runtime.http.errors import invalid
from streams.runtime.named import named_definitions

MAX_WINDOWS = 1_000
"""Alerts with a window on one collection: what one document adds to all of them must fit into one record."""


async def attach(
    connection: Connection, namespace_id: str, collection: JsonObject, applications: Sequence[AlertApplication]
) -> list[JsonObject]:
    """Attachments to a collection, given as its body, as they are stored. Raises 404 for an unknown alert, 422 for
    one attached twice or that cannot be checked on ingest."""
    bodies: list[JsonObject] = []
    windows = 0
    for index, application in enumerate(applications):
        alert = await require(connection, "alert", namespace_id, application.alert_id)
        where = ("body", "alert_applications", index)
        if any(body["alert_id"] == alert.record.id for body in bodies):
            raise invalid(f"Alert {alert.record.id} is attached twice", *where, "alert_id")
        body = application_body(application, alert.record.id)
        if body["execution_mode"] != ON_INGEST:
            _refuse_window(alert.body, where)
        else:
            retriever = await require(connection, "retriever", namespace_id, alert.body["retriever_id"])
            reason = await _refusal(connection, namespace_id, collection, retriever.body, alert.body, body)
            if reason is not None:
                raise invalid(f"Alert {alert.body['name']!r} cannot be attached on ingest: {reason}", *where)
            windows += has_window(alert.body)
            if windows > MAX_WINDOWS:
                raise invalid(f"A collection takes at most {MAX_WINDOWS} alerts with window_seconds", *where)
        bodies.append(body)
    return bodies


def _refuse_window(alert: JsonObject, where: Sequence[str | int]) -> None:
    """Raises 422 for an alert with a window that is not attached on ingest."""
    if has_window(alert):
        raise invalid(
            f"Alert {alert['name']!r} has window_seconds, which counts documents as they arrive: attach it"
            " on_ingest, or leave the window out and filter by time",
            *where,
        )


async def _refusal(
    connection: Connection,
    namespace_id: str,
    collection: JsonObject,
    retriever: JsonObject,
    alert: JsonObject,
    application: JsonObject,
) -> str | None:
    """Why an alert cannot be checked when a document arrives, in words for the user; ``None`` when it can."""
    collection_id = collection["collection_id"]
    try:
        if has_window(alert):
            read_window(retriever, alert, application, 0)
        if not takes_from_document(application):
            plan = compile_plan(retriever, alert, application, collection_id=collection_id)
            here = {**retriever, "collection_identifiers": [collection_id]}
            inputs = constant_inputs(retriever, alert, application)
            check_sizes(query_sizes(here, inputs), {collection_id: dimensions(collection["feature_extractor"])})
            if not plan.tail:
                return None
        definitions = await named_definitions(
            connection, namespace_id, retriever["stages"], alert.get("inputs"), application.get("input_mappings")
        )
        standing = read_standing(retriever, alert, application, definitions, collection_id=collection_id)
        reference_collections(standing, definitions)
        if isinstance(standing, LookUp):
            queries = list(query_sizes(retriever, standing.constants))
            check_sizes(queries, await declared_sizes(connection, namespace_id, queries))
    except PlanError as error:
        return str(error)
    return None


async def collections_of_alert(
    connection: Connection, namespace_id: str, alert_id: str
) -> list[tuple[StoredDefinition, JsonObject]]:
    """Collections an alert is attached to, each with the attachment."""
    rows = await select_definitions(
        connection,
        "d.kind = 'collection' AND d.namespace_id = %(namespace)s"
        " AND d.body->'alert_applications' @> jsonb_build_array(jsonb_build_object('alert_id', %(alert)s::text))",
        {"namespace": namespace_id, "alert": alert_id},
    )
    return [(row, item) for row in rows for item in row.body["alert_applications"] if item["alert_id"] == alert_id]


async def check_change(
    connection: Connection, namespace_id: str, alert_id: str, alert: JsonObject, retriever: JsonObject
) -> None:
    """Raises 422 when an alert, or its retriever, would no longer work where it is attached on ingest."""
    for collection, application in await collections_of_alert(connection, namespace_id, alert_id):
        if application["execution_mode"] != ON_INGEST:
            _refuse_window(alert, ("body",))
            continue
        reason = await _refusal(connection, namespace_id, collection.body, retriever, alert, application)
        if reason is not None:
            raise invalid(
                f"Alert {alert['name']!r} is attached on ingest to collection"
                f" {collection.body['collection_name']!r}, where it would no longer work: {reason}",
                "body",
            )


async def check_retriever_change(connection: Connection, retriever: StoredDefinition) -> None:
    """Raises 422 when an attached alert no longer works with a retriever as it has been written, whether it asks
    that one or one that runs it inside."""
    namespace_id = retriever.record.namespace_id
    for asked in (retriever, *await retrievers_asking(connection, retriever)):
        for alert in await alerts_of_retriever(connection, namespace_id, asked.record.id):
            await check_change(connection, namespace_id, alert.record.id, alert.body, asked.body)


async def alerts_of_retriever(
    connection: Connection, namespace_id: str, retriever_id: str
) -> list[StoredDefinition]:
    """Alerts that ask a retriever."""
    return await select_definitions(
        connection,
        "d.kind = 'alert' AND d.namespace_id = %(namespace)s AND d.body->>'retriever_id' = %(retriever)s",
        {"namespace": namespace_id, "retriever": retriever_id},
    )


async def detach(connection: Connection, namespace_id: str, alert_id: str) -> None:
    """Take an alert off every collection."""
    for row, _ in await collections_of_alert(connection, namespace_id, alert_id):
        fresh = await find_definition(connection, "collection", namespace_id, row.record.id)
        if fresh is not None:
            body = without_alert(fresh.body, alert_id)
            await save(connection, "collection", namespace_id, row.record.id, row.record.name, body)
