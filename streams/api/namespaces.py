"""Namespaces: bodies and answers (pure), and the one a server begins with."""

from schemas.api.base import JsonObject
from schemas.api.namespace import CreateNamespaceRequest, NamespaceResponse, PatchNamespaceRequest
from schemas.ids import new_id
from streams.runtime.database import Database
from streams.runtime.definitions import StoredDefinition, find_definition, put_definition

_CHANGED = ("namespace_name", "description", "feature_extractors", "payload_indexes")
_KEPT = ("namespace_type", "description", "mode", "feature_extractors", "vector_configs", "payload_indexes")


def new_body(request: CreateNamespaceRequest) -> JsonObject:
    """The body of a new namespace, without its id and name."""
    filled = request.filled()
    return {name: filled[name] for name in _KEPT if name in filled}


def patched_body(body: JsonObject, request: PatchNamespaceRequest) -> JsonObject:
    """``body`` with what the request changes. Extractors are added, indexes replaced."""
    given = {name: value for name, value in request.given().items() if name in _CHANGED}
    changed = {**body, **given}
    if "feature_extractors" in given:
        before = body.get("feature_extractors") or []
        changed["feature_extractors"] = before + [
            item for item in given["feature_extractors"] if item not in before
        ]
    return changed


def response(stored: StoredDefinition, collections: int, documents: int) -> NamespaceResponse:
    """A namespace as it is shown."""
    body = stored.body
    return NamespaceResponse(
        namespace_id=stored.record.id,
        namespace_name=body["namespace_name"],
        namespace_type=body.get("namespace_type", "standard"),
        description=body.get("description"),
        feature_extractors=body.get("feature_extractors"),
        payload_indexes=body.get("payload_indexes"),
        mode=body.get("mode", "managed"),
        vector_configs=body.get("vector_configs"),
        document_count=documents,
        collection_count=collections,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )


async def ensure_namespace(database: Database, name: str) -> str:
    """The id of the namespace called ``name``, created if it is not there. Safe to call from several processes
    at once."""
    async with database.transaction() as connection:
        # Writers take turns here as in every change of definitions.
        await connection.execute("SELECT 1 FROM stream_identity FOR UPDATE")
        found = await find_definition(connection, "namespace", "", name)
        if found is not None:
            return found.record.id
        namespace_id = new_id("namespace")
        # The name comes from the operator's settings and may be shorter than the API would let it be.
        body = {"namespace_id": namespace_id, "namespace_name": name, "mode": "managed"}
        await put_definition(connection, "namespace", "", namespace_id, name, body)
        return namespace_id
