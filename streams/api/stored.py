"""Documents that were collected, read back as the events they came in."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import dict_row

from schemas.events.document import UPSERTED, DocumentEvent, Vector
from streams.runtime.database import Connection
from streams.runtime.http.errors import not_found


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A row of the table."""

    event: DocumentEvent
    created_at: datetime
    updated_at: datetime


async def stored_document(
    connection: Connection, namespace_id: str, collection_id: str, document_id: str, *, vectors: bool = False
) -> StoredDocument:
    """A document by its key, with ``vectors`` those that came with it. Raises 404."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "SELECT payload, text, asset_id, occurred_at, appended_at, created_at FROM documents"
            " WHERE namespace_id = %s AND collection_id = %s AND document_id = %s",
            (namespace_id, collection_id, document_id),
        )
        row = await cursor.fetchone()
    if row is None:
        raise not_found("document", document_id)
    features: dict[str, Vector] = {}
    if vectors:
        found = await connection.execute(
            "SELECT feature_uri, embedding FROM document_vectors"
            " WHERE namespace_id = %s AND collection_id = %s AND document_id = %s",
            (namespace_id, collection_id, document_id),
        )
        features = {uri: embedding.to_numpy() for uri, embedding in await found.fetchall()}
    event = DocumentEvent(
        UPSERTED,
        namespace_id,
        collection_id,
        document_id,
        row["occurred_at"],
        payload=row["payload"],
        text=row["text"],
        asset_id=row["asset_id"],
        features=features,
    )
    return StoredDocument(event, row["created_at"], row["appended_at"])
