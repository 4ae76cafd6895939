"""``expand``: documents that a result refers to, put beside it (contract 4.5)."""

from collections.abc import Sequence

from schemas.api.base import JsonObject
from streams.api.expand import MAX_REFERENCES, ids_in
from streams.engines.retrieval.execution.corpus import Corpus
from streams.engines.retrieval.execution.rows import shown
from streams.engines.retrieval.filters.paths import parse_path, resolve


async def expanded(documents: Sequence[JsonObject], fields: Sequence[str], corpus: Corpus) -> list[str]:
    """Put under ``_expanded`` of each document, by field, the documents whose ids its fields hold, from any
    collection of the namespace. Returns warnings: of more than 50 different ones the rest is left out."""
    paths = [(name, parse_path(name)) for name in fields]
    wanted: dict[str, JsonObject | None] = {}
    named = [[(name, ids_in(resolve(item, path))) for name, path in paths] for item in documents]
    for fields_of in named:
        for _, ids in fields_of:
            wanted.update(dict.fromkeys(ids))
    cut = len(wanted) > MAX_REFERENCES
    kept = list(wanted)[:MAX_REFERENCES]
    for collection_id in await corpus.collections():
        for row in await corpus.get(collection_id, [name for name in kept if wanted[name] is None]):
            wanted[row.document_id] = shown(row)
    for item, fields_of in zip(documents, named, strict=True):
        item["_expanded"] = {
            name: [found for one in ids if (found := wanted[one]) is not None] for name, ids in fields_of
        }
    return [f"expand took the first {MAX_REFERENCES} of {len(wanted)} references"] if cut else []
