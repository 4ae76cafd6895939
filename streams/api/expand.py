"""``expand``: documents that fields of a document name, shown beside it under ``_expanded`` (contract 2.9)."""

from collections.abc import Sequence
from typing import Final

from schemas.api.base import JsonObject
from schemas.api.document import DocumentResponse
from streams.api.documents import document_response
from streams.api.stored import StoredDocument, named_documents, names_of
from streams.engines.retrieval.filters.paths import parse_path, resolve
from streams.runtime.database import Connection
from streams.runtime.http.access import Access
from streams.runtime.http.errors import conflict, invalid

MAX_REFERENCES: Final = 50
_KEYWORDS: Final = {"parent": "source_document_id"}


async def expanded(
    connection: Connection,
    access: Access,
    collection_ids: Sequence[str],
    documents: Sequence[StoredDocument],
    results: Sequence[DocumentResponse],
    fields: Sequence[str],
) -> None:
    """Add ``_expanded`` to results: by field the document it names, or a list where it names several. What names
    nothing in these collections is null. Raises 422 for more than :data:`MAX_REFERENCES` names."""
    try:
        paths = {field: parse_path(_KEYWORDS.get(field, field)) for field in fields}
    except ValueError as error:
        raise invalid(str(error), "body", "expand") from error
    named: list[dict[str, list[str]]] = []
    for document in documents:
        root = document.event.root()
        named.append({field: ids_in(resolve(root, path)) for field, path in paths.items()})
    wanted = sorted({one for fields_ in named for ids in fields_.values() for one in ids})
    if len(wanted) > MAX_REFERENCES:
        raise conflict(f"expand follows at most {MAX_REFERENCES} references", "body", "expand")
    names = await names_of(connection, access.namespace_id, wanted, set(collection_ids))
    found = await named_documents(connection, access.namespace_id, names)
    by_id = {name[1]: document_response(document, access.internal_id) for name, document in found.items()}
    for result, fields_ in zip(results, named, strict=True):
        beside: JsonObject = {}
        for field, ids in fields_.items():
            shown = [by_id[one].model_dump(mode="json", by_alias=True) for one in ids if one in by_id]
            beside[field] = (shown[0] if shown else None) if len(ids) < 2 else shown
        assert result.model_extra is not None
        result.model_extra["_expanded"] = beside


def ids_in(values: Sequence[object]) -> list[str]:
    """The ids among the values of a field, each once."""
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return list(dict.fromkeys(item for item in flat if isinstance(item, str) and item and "\x00" not in item))
