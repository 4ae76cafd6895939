"""Alerts attached to collections: what may be attached, and what an attached one may become (contract 4.3).

On ingest an alert whose inputs are constants is decided from the one arriving document; one that takes an input
from the document looks it up in the collections its retriever names. What can run neither way is refused when it
is attached, and so is a later change of its alert or retriever that would break it. What is attached for later
(scheduled, on_demand) is kept as it is.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from schemas.api.base import JsonObject
from schemas.api.collection import ON_INGEST, AlertApplication, dimensions
from streams.api.collections import application_body, without_alert
from streams.api.names import resource
from streams.api.naming import retrievers_asking
from streams.api.sizes import declared_sizes
from streams.api.store import save
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.look_up import LookUp, takes_from_document
from streams.engines.retrieval.execution.sizes import QuerySize, check_sizes, query_sizes
from streams.engines.retrieval.execution.standing import read_standing, reference_collections
from streams.engines.retrieval.execution.windowed import has_window, read_window
from streams.engines.retrieval.percolate.compile import compile_plan
from streams.engines.retrieval.percolate.constants import constant_inputs
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition, find_definition, find_definitions, select_definitions
from streams.runtime.http.errors import conflict, invalid, not_found
from streams.runtime.named import named_definitions
from streams.runtime.outbox import MAX_RECORD_BYTES

MAX_WINDOWS = 1_000
"""Alerts with a window on one collection: what one document adds to all of them must fit into one record."""
_AROUND: Final = 1_000
"""Bytes that a definition's record has at most around the body."""
_AT_ONCE: Final = 64


async def attach(
    connection: Connection, namespace_id: str, collection: JsonObject, applications: Sequence[AlertApplication]
) -> list[JsonObject]:
    """Attachments to a collection, given as its body, as they are stored. What stands there already as it is given
    is not checked again: every change of what it depends on is. Raises 404 for an unknown alert, 422 for one that
    cannot be checked on ingest, and 409 for one that is attached twice and for more than a collection takes."""
    named = [application.alert_id for application in applications]
    alerts = await find_definitions(connection, "alert", namespace_id, named)
    asked = {alert.body["retriever_id"] for alert in alerts.values() if alert.body.get("retriever_id") is not None}
    retrievers = await find_definitions(connection, "retriever", namespace_id, asked)
    before = {item["alert_id"]: item for item in collection.get("alert_applications") or ()}
    bodies: dict[str, JsonObject] = {}
    new: list[_Attachment] = []
    windows, left = 0, _room(collection)
    for index, application in enumerate(applications):
        alert = alerts.get(application.alert_id)
        if alert is None:
            raise not_found(resource("alert"), application.alert_id)
        where = ("body", "alert_applications", index)
        if alert.record.id in bodies:
            raise conflict(f"Alert {alert.record.id} is attached twice", *where, "alert_id")
        body = bodies[alert.record.id] = application_body(application, alert.record.id)
        left -= len(orjson.dumps(body)) + len(",")
        if left < 0:
            raise conflict(_too_many(collection, index, len(applications)), *where)
        if body["execution_mode"] != ON_INGEST:
            _refuse_window(alert.body, where)
            continue
        windows += has_window(alert.body)
        if windows > MAX_WINDOWS:
            raise conflict(f"A collection takes at most {MAX_WINDOWS} alerts with window_seconds", *where)
        retriever = retrievers.get(alert.body["retriever_id"])
        if retriever is None:
            raise not_found(resource("retriever"), alert.body["retriever_id"])
        if before.get(alert.record.id) != body:
            new.append(_Attachment(index, retriever.body, alert.body, body))
    refused = await _refusals(connection, namespace_id, collection, new)
    for item in new:
        if item.place in refused:
            where = ("body", "alert_applications", item.place)
            reason = refused[item.place]
            raise invalid(f"Alert {item.alert['name']!r} cannot be attached on ingest: {reason}", *where)
    return list(bodies.values())


def _room(collection: JsonObject) -> int:
    """How many bytes of JSON the attachments of a collection may take: its record holds them."""
    return MAX_RECORD_BYTES - _AROUND - len(orjson.dumps({**collection, "alert_applications": None}))


def _too_many(collection: JsonObject, fitting: int, given: int) -> str:
    return (
        f"The attachments of a collection take at most {_room(collection):,} bytes as JSON, and only the first"
        f" {fitting:,} of these {given:,} fit. Attach the others to another collection, or make the values of"
        " input_mappings shorter"
    )


def _refuse_window(alert: JsonObject, where: Sequence[str | int]) -> None:
    """Raises 422 for an alert with a window that is not attached on ingest."""
    if has_window(alert):
        raise invalid(
            f"Alert {alert['name']!r} has window_seconds, which counts documents as they arrive: attach it"
            " on_ingest, or leave the window out and filter by time",
            *where,
        )


class _Attachment(NamedTuple):
    """An alert that is to be checked on ingest."""

    place: int
    """Among the attachments of the request."""
    retriever: JsonObject
    alert: JsonObject
    application: JsonObject


async def _refusals(
    connection: Connection, namespace_id: str, collection: JsonObject, attachments: Sequence[_Attachment]
) -> dict[int, str]:
    """By place, why some alerts cannot be checked when a document arrives, in words for the user. What others they
    name is read for all of them at once."""
    refused: dict[int, str] = {}
    naming: list[_Attachment] = []
    for number, item in enumerate(attachments):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)  # thousands are checked in one call, and others want an answer too
        try:
            if not _decided_alone(collection, item):
                naming.append(item)
        except PlanError as error:
            refused[item.place] = str(error)
    if not naming:
        return refused
    mentions = (
        (item.retriever["stages"], item.alert.get("inputs"), item.application.get("input_mappings"))
        for item in naming
    )
    definitions = await named_definitions(connection, namespace_id, *mentions)
    look_ups: list[tuple[int, list[QuerySize]]] = []
    for item in naming:
        try:
            standing = read_standing(
                item.retriever,
                item.alert,
                item.application,
                definitions,
                collection_id=collection["collection_id"],
            )
            reference_collections(standing, definitions)
            if isinstance(standing, LookUp):
                look_ups.append((item.place, list(query_sizes(item.retriever, standing.constants))))
        except PlanError as error:
            refused[item.place] = str(error)
    declared = await declared_sizes(connection, namespace_id, [query for _, found in look_ups for query in found])
    for index, queries in look_ups:
        try:
            check_sizes(queries, declared)
        except PlanError as error:
            refused[index] = str(error)
    return refused


def _decided_alone(collection: JsonObject, item: _Attachment) -> bool:
    """Whether an arriving document is all that an alert needs. Raises :class:`PlanError` for one that cannot be
    checked, as far as the document decides."""
    _, retriever, alert, application = item
    if has_window(alert):
        read_window(retriever, alert, application, 0)
    if takes_from_document(application):
        return False
    collection_id = collection["collection_id"]
    plan = compile_plan(retriever, alert, application, collection_id=collection_id)
    here = {**retriever, "collection_identifiers": [collection_id]}
    inputs = constant_inputs(retriever, alert, application)
    check_sizes(query_sizes(here, inputs), {collection_id: dimensions(collection["feature_extractor"])})
    return not plan.tail


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
    """Raises 409 when an alert, or its retriever, would no longer work where it is attached on ingest."""
    for collection, application in await collections_of_alert(connection, namespace_id, alert_id):
        if application["execution_mode"] != ON_INGEST:
            _refuse_window(alert, ("body",))
            continue
        item = _Attachment(0, retriever, alert, application)
        refused = await _refusals(connection, namespace_id, collection.body, [item])
        if refused:
            raise conflict(
                f"Alert {alert['name']!r} is attached on ingest to collection"
                f" {collection.body['collection_name']!r}, where it would no longer work: {refused[0]}",
                "body",
            )


async def check_retriever_change(connection: Connection, retriever: StoredDefinition) -> None:
    """Raises 409 when an attached alert no longer works with a retriever as it has been written, whether it asks
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
