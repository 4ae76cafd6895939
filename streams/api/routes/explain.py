"""``POST /v1/alerts/{alert}/explain``: why an alert matches a document, by the definitions in force."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from fastapi import APIRouter

from schemas.api.base import JsonObject
from schemas.api.explain import ExplainRequest, ExplainResponse
from schemas.errors import DecodeError
from schemas.events.document import DocumentEvent
from schemas.events.plain import read_plain
from streams.api.retrieval.explained import Explained, explain_stored
from streams.api.retrieval.gate import GateDep
from streams.api.store import require
from streams.api.stored import stored_document
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.explain.explanation import explain
from streams.runtime.database import Connection
from streams.runtime.http.access import AccessDep, ContextDep
from streams.runtime.http.errors import conflict, invalid
from streams.runtime.http.json_route import JsonRoute

router = APIRouter(prefix="/v1/alerts", tags=["alerts"], route_class=JsonRoute)
_HINT: Final = ". Give a collection_id: inputs may come from what attaches the alert to that collection"


@router.post("/{alert_identifier}/explain")
async def explain_alert(
    alert_identifier: str, body: ExplainRequest, access: AccessDep, context: ContextDep, gate: GateDep
) -> ExplainResponse:
    """What each condition and search of an alert saw in a document and gave; of one that looks documents up, what
    its stages found. An extension of the contract."""
    namespace_id = access.namespace_id
    async with context.database.transaction(snapshot=True) as connection:
        alert = await require(connection, "alert", namespace_id, alert_identifier)
        if alert.body["retriever_id"] is None:
            raise conflict("A system alert watches the system, no documents", "path", "alert_identifier")
        retriever = await require(connection, "retriever", namespace_id, alert.body["retriever_id"])
        collection = None
        if body.collection_id is not None:
            collection = await require(connection, "collection", namespace_id, body.collection_id)
        collection_id = None if collection is None else collection.record.id
        document, now = await _document(connection, namespace_id, collection_id, body, context.clock())
    application = None if collection is None else _attachment(collection.body, alert.record.id)
    question = Explained(namespace_id, retriever.body, alert.body, application, collection_id, document, now)
    try:
        read = question.plan()
        if read is None or read.tail:
            told = await gate.run(explain_stored(context, question))
        else:
            told = explain(read, document)
    except PlanError as error:
        hint = "" if collection is not None else _HINT
        raise conflict(
            f"The alert cannot be explained on one document: {error}{hint}", "path", "alert_identifier"
        ) from error
    return ExplainResponse(
        alert_id=alert.record.id,
        collection_id=collection_id,
        document_id=document.document_id,
        **told.to_json(),
    )


def _attachment(collection: JsonObject, alert_id: str) -> JsonObject | None:
    applications: list[JsonObject] = collection.get("alert_applications") or []
    return next((item for item in applications if item["alert_id"] == alert_id), None)


async def _document(
    connection: Connection, namespace_id: str, collection_id: str | None, body: ExplainRequest, now: datetime
) -> tuple[DocumentEvent, datetime]:
    """The document, and when it came: for one that is given, now."""
    if body.document_id is not None:
        assert collection_id is not None  # the request says so
        found = await stored_document(connection, namespace_id, collection_id, body.document_id, vectors=True)
        return found.event, found.updated_at
    try:
        document = read_plain(body.document or {}, "document", now)
    except DecodeError as error:
        raise invalid(f"The document cannot be read: {error}", "body", "document") from error
    if document is None:
        raise conflict("The event brings no document", "body", "document", "type")
    return (document if collection_id is None else replace(document, collection_id=collection_id)), now
