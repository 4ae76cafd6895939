"""BM25 over stored texts: one pass over the collections counts the words of the query and the length of texts."""

from collections.abc import Sequence
from contextlib import aclosing

from streams.engines.retrieval.execution import bm25
from streams.engines.retrieval.execution.budget import Check
from streams.engines.retrieval.filters.tokens import tokens
from streams.engines.retrieval.vectors.embedder import document_text
from streams.retrieval.reading import Stored


async def ranked(
    stored: Stored, collections: Sequence[str], text: str, check: Check
) -> list[tuple[float, str, str]]:
    """The score's negative, collection and id of every document that has a word of ``text``, best first, ties by
    collection and id. Held in memory are the documents that have one."""
    parts: list[bm25.Postings[str]] = []
    words = frozenset(tokens(text))
    for collection_id in collections:
        part: bm25.Postings[str] = bm25.Postings(only=words)
        async with aclosing(stored.texts(collection_id)) as pages:
            async for page in pages:
                check()
                for document_id, own, field in page:
                    part.add(document_id, document_text(own, {"text": field}))
        parts.append(part)
    scored = bm25.scores(parts, text)
    return sorted(
        (-score, collection_id, document_id)
        for collection_id, scores in zip(collections, scored, strict=True)
        for document_id, score in scores.items()
    )
