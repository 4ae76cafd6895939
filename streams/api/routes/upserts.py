"""``/v1/namespaces/{namespace}/documents`` (contract 2.7): documents that bring their own vectors. Only the key
counts, a namespace header is ignored."""

import hashlib
from collections.abc import Sequence

import orjson
from fastapi import APIRouter, Response
from psycopg.types.json import Json

from schemas.api.base import JsonObject
from schemas.api.collection import CreateCollectionRequest
from schemas.api.document import DocumentResponse
from schemas.api.upsert import UpsertRequest, UpsertResponse, WriteConsistency
from schemas.ids import new_id
from streams.api.collection_heads import collection_names
from streams.api.collections import new_body
from streams.api.document_writing import Draft, check_document_id, lock_documents, writable, write_documents
from streams.api.documents import Shown, document_response
from streams.api.routes.namespaces import entered
from streams.api.store import change, internal_id, save
from streams.api.stored import named_documents, names_of
from streams.api.upserts import DEFAULT_COLLECTION, Upsert, upsert_of
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.definitions import find_definition
from streams.runtime.http.access import CallerDep, ContextDep
from streams.runtime.http.errors import ApiError, not_found
from streams.runtime.http.headers import MIN_POSITION, WRITE_TOKEN
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.write_tokens import current_token

router = APIRouter(prefix="/v1/namespaces/{namespace_id}/documents", tags=["namespaces"], route_class=JsonRoute)


@router.post("/upsert")
async def upsert_documents(
    namespace_id: str, body: UpsertRequest, caller: CallerDep, context: ContextDep, answer: Response
) -> UpsertResponse:
    """Write documents with their vectors; one with the id of another replaces it. The same ``idempotency_key``
    with the same body is answered alike and writes once."""
    key = None if body.options is None else body.options.idempotency_key
    now = context.clock()
    async with context.database.connection() as connection:
        namespace = await entered(connection, caller, namespace_id)
    if body.collection_id is None:
        await _ensure_default(context, namespace.record.id, answer)
    async with context.database.transaction() as connection:
        identifier = body.collection_id or DEFAULT_COLLECTION
        collection = await writable(connection, namespace.record.id, identifier)
        if key is not None and (before := await _claim(connection, namespace.record.id, key, body, context)):
            told, token = before
            if token is not None:
                answer.headers[WRITE_TOKEN] = token
            return UpsertResponse.stored(told)
        upserts: list[Upsert] = []
        for index, document in enumerate(body.documents):
            check_document_id(document.document_id, "body", "documents", index, "document_id")
            upserts.append(upsert_of(document, namespace.body, collection, now, index))
        token = await _write(connection, upserts, context, answer)
        response = _answer(upserts, token if body.options is not None and body.options.write_token else None)
        if key is not None:
            await connection.execute(
                "UPDATE idempotent_upserts SET answer = %s, write_token = %s"
                " WHERE namespace_id = %s AND idempotency_key = %s",
                (Json(response.model_dump(mode="json")), token, namespace.record.id, key),
            )
    return response


async def _ensure_default(context: Context, namespace_id: str, answer: Response) -> None:
    async with context.database.connection() as connection:
        if await find_definition(connection, "collection", namespace_id, DEFAULT_COLLECTION) is not None:
            return
    async with change(context, answer) as connection:
        if await find_definition(connection, "collection", namespace_id, DEFAULT_COLLECTION) is None:
            collection_id = new_id("collection")
            wanted: JsonObject = {"collection_name": DEFAULT_COLLECTION, "source": {"type": "direct_upsert"}}
            fields = new_body(CreateCollectionRequest.model_validate(wanted), collection_id)
            await save(connection, "collection", namespace_id, collection_id, DEFAULT_COLLECTION, fields)


async def _claim(
    connection: Connection, namespace_id: str, key: str, body: UpsertRequest, context: Context
) -> tuple[JsonObject, str | None] | None:
    """What was answered under this key before, and the token of its write; ``None`` when the caller is the first,
    whose answer is to be kept. Raises 409 for another body."""
    digest = hashlib.sha256(orjson.dumps(body.given(), option=orjson.OPT_SORT_KEYS)).digest()
    # Who comes second waits here until the first has committed.
    inserted = await connection.execute(
        "INSERT INTO idempotent_upserts (namespace_id, idempotency_key, body_sha256, answer, created_at)"
        " VALUES (%s, %s, %s, 'null', %s) ON CONFLICT DO NOTHING",
        (namespace_id, key, digest, context.clock()),
    )
    if inserted.rowcount:
        await connection.execute(
            "DELETE FROM idempotent_upserts WHERE ctid = ANY (ARRAY(SELECT ctid FROM idempotent_upserts"
            " WHERE created_at < %s - interval '1 day' ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED))",
            (context.clock(),),
        )
        return None
    cursor = await connection.execute(
        "SELECT body_sha256, answer, write_token FROM idempotent_upserts"
        " WHERE namespace_id = %s AND idempotency_key = %s",
        (namespace_id, key),
    )
    row = await cursor.fetchone()
    if row is None or bytes(row[0]) != digest:
        raise ApiError(409, "This idempotency_key was used with another body", type="AlreadyExistsError")
    return row[1], row[2]


async def _write(connection: Connection, upserts: Sequence[Upsert], context: Context, answer: Response) -> str:
    now = context.clock()
    if not upserts:
        return await current_token(connection)
    namespace_id = upserts[0].event.namespace_id
    names = [(one.event.collection_id, one.event.document_id) for one in upserts]
    await lock_documents(connection, namespace_id, names)
    before = await named_documents(connection, namespace_id, names)
    drafts = [
        Draft(one.event, before[name].created_at if name in before else now)
        for one, name in zip(upserts, names, strict=True)
    ]
    return await write_documents(connection, drafts, now, answer)


def _answer(upserts: Sequence[Upsert], token: str | None) -> UpsertResponse:
    kept = sorted({name for one in upserts for name in one.kept})
    warnings = []
    if kept:
        warnings.append(f"Kept to be read back, not searched (of several rows, or sparse): {', '.join(kept)}")
    return UpsertResponse(
        inserted=len(upserts),
        document_ids=[one.event.document_id for one in upserts],
        write_token=token,
        dropped_payload_fields={one.event.document_id: list(one.dropped) for one in upserts if one.dropped},
        unsearchable_document_ids=[one.event.document_id for one in upserts if not one.event.features],
        consistency=WriteConsistency(
            write_token_available=token is not None, recommended_header=None if token is None else MIN_POSITION
        ),
        warnings=warnings or None,
    )


@router.get("/{document_id:path}")
async def get_namespace_document(
    namespace_id: str,
    document_id: str,
    caller: CallerDep,
    context: ContextDep,
    return_vectors: bool = False,
) -> DocumentResponse:
    """A document by id, whichever collection of the namespace it is in; of several the one written last."""
    async with context.database.transaction(snapshot=True) as connection:
        namespace = (await entered(connection, caller, namespace_id)).record.id
        names = await names_of(connection, namespace, [document_id], await collection_names(connection, namespace))
        found = list((await named_documents(connection, namespace, names, vectors=return_vectors)).values())
    if not found:
        raise not_found("document", document_id)
    newest = max(found, key=lambda one: one.updated_at)
    return document_response(newest, await internal_id(context.database), Shown(return_vectors))
