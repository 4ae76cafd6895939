"""Searches over rows that earlier stages left, instead of a corpus: the same scores, exact."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from streams.engines.retrieval.execution.bm25 import rank
from streams.engines.retrieval.execution.corpus import Nearest
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.vectors.cosine import DIGITS, cosines, unit_rows
from streams.engines.retrieval.vectors.embedder import HashingEmbedder, document_text

Key: TypeAlias = tuple[str, str, int]
"""Collection, document, and which of the rows with these ids."""
Hit: TypeAlias = tuple[Key, Row]


async def nearest(rows: Sequence[Row], asked: Nearest, run: Run) -> list[Hit]:
    """The rows nearest to a query, best first, as a corpus would give them. Rows without the feature, with one of
    other dimensions or of length zero are left out."""
    vectors = await run.vectors(rows, asked.feature_uri)
    scored: list[tuple[float, Key, Row]] = []
    for number, (row, vector) in enumerate(zip(rows, vectors, strict=True)):
        if vector is None and asked.feature_uri == HashingEmbedder.URI:
            vector = HashingEmbedder().embed([text_of(row)])[0]
        if vector is None or vector.shape != asked.queries.shape[1:] or not vector.any():
            continue
        unit = np.repeat(unit_rows(vector[None, :]), len(asked.queries), axis=0)
        score = round(float(cosines(unit, asked.queries).max()), DIGITS)
        if asked.min_score is None or score >= asked.min_score:
            scored.append((score, _key(row, number), row))
    scored.sort(key=lambda entry: (-entry[0], entry[1]))
    return [
        (key, replace(row, score=score, matched={asked.feature_uri: score}))
        for score, key, row in scored[: asked.k]
    ]


def lexical(rows: Sequence[Row], text: str, k: int) -> list[Hit]:
    """The rows by BM25 of their texts among themselves, best first."""
    ranked = rank([text_of(row) for row in rows], text)
    hits = [(_key(rows[at], at), replace(rows[at], score=score)) for at, score in ranked]
    hits.sort(key=lambda hit: (-(hit[1].score or 0.0), hit[0]))
    return hits[:k]


def text_of(row: Row) -> str:
    """What of a row is embedded and read as text."""
    text = row.fields.get("text")
    return document_text(text if isinstance(text, str) else None, row.fields.get("payload"))


def _key(row: Row, number: int) -> Key:
    return row.collection_id, row.document_id, number
