"""``deduplicate``: one of several documents that are the same (contract section 6)."""

import asyncio
from array import array
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from schemas.api.base import JsonObject, having
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.filters.tokens import tokens
from streams.engines.retrieval.stages.parameters import FieldPath, Fraction, StageParameters
from streams.engines.retrieval.stages.percolating import DEPENDS_ON_OTHERS
from streams.engines.retrieval.stages.stage import Row, Stage
from streams.engines.retrieval.stages.values import identity, value

Words = frozenset[tuple[str, int]]
"""The words of a text, each with how often it came before, so that repeated words count."""


class Parameters(StageParameters):
    """What makes two documents the same, and which of them stays."""

    checked: ClassVar[JsonObject] = {
        "anyOf": [having("fields"), having("strategy", strategy={"const": "content"})],
    }

    strategy: Literal["field", "content"] = "field"
    """``field``: all ``fields`` are equal; ``content``: the texts are alike."""
    fields: Annotated[list[FieldPath], Field(min_length=1)] | None = None
    content_field: FieldPath = "content"
    similarity_threshold: Fraction = 0.95
    """Texts are the same from this share of common words on (Jaccard, repeated words counted)."""
    keep: Literal["first", "last"] = "first"
    case_sensitive: bool = True

    @model_validator(mode="after")
    def _fields_given(self) -> Self:
        if self.strategy == "field" and not self.fields:
            raise ValueError("the strategy field needs fields, the paths that must all be equal")
        return self


def deduplicate(rows: Sequence[Row], parameters: Parameters) -> list[Row]:
    """The rows without those that are the same as one kept before (with ``keep`` last: after), in their order.
    A missing field counts as null, so documents that lack it are the same."""
    places = range(len(rows)) if parameters.keep == "first" else range(len(rows) - 1, -1, -1)
    if parameters.strategy == "field":
        kept = _by_fields(rows, places, parameters)
    else:
        kept = _by_content(rows, places, parameters)
    return [rows[at] for at in sorted(kept)]


def _by_fields(rows: Sequence[Row], places: Sequence[int], parameters: Parameters) -> list[int]:
    seen: dict[Hashable, int] = {}
    for at in places:
        found = (value(rows[at], field) for field in parameters.fields or ())
        key = tuple(identity(item, case_sensitive=parameters.case_sensitive) for item in found)
        seen.setdefault(key, at)
    return list(seen.values())


def words_of(text: str, *, case_sensitive: bool = True) -> Words:
    """The words of a text as a set."""
    seen: Counter[str] = Counter()
    found = set()
    for word in tokens(text, case_sensitive=case_sensitive):
        found.add((word, seen[word]))
        seen[word] += 1
    return frozenset(found)


def similarity(left: Words, right: Words) -> float:
    """Shared words over all words, in [0, 1]; two texts without words are alike."""
    union = len(left | right)
    return len(left & right) / union if union else 1.0


def _by_content(rows: Sequence[Row], places: Sequence[int], parameters: Parameters) -> list[int]:
    """Keeps a row unless it is like a kept one. How many words it shares with each kept text is counted over an
    inverted index of the kept ones, for all of them at once."""
    kept: list[int] = []
    others: set[Hashable] = set()
    holders: dict[tuple[str, int], array[int]] = {}
    sizes = np.zeros(len(rows), dtype=np.int64)
    texts = 0
    for at in places:
        content = _content(value(rows[at], parameters.content_field), parameters.case_sensitive)
        if not isinstance(content, frozenset):
            if content not in others:
                others.add(content)
                kept.append(at)
            continue
        lists = [np.frombuffer(holders[word], dtype=np.int64) for word in content if word in holders]
        shared = np.bincount(np.concatenate(lists), minlength=texts) if lists else np.zeros(texts, dtype=np.int64)
        # What has been read of the lists must be let go before they grow.
        del lists
        if (shared / (len(content) + sizes[:texts] - shared) >= parameters.similarity_threshold).any():
            continue
        for word in content:
            holders.setdefault(word, array("q")).append(texts)
        sizes[texts] = len(content)
        texts += 1
        kept.append(at)
    return kept


def _content(found: Any, case_sensitive: bool) -> Words | Hashable:
    """A text with words as its words; anything else is like its equals only."""
    if type(found) is str:
        words = words_of(found, case_sensitive=case_sensitive)
        if words:
            return words
    return ("exactly", identity(found, case_sensitive=case_sensitive))


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Drop what is there already."""
    if parameters.strategy == "content":
        # Thousands of texts take seconds: other work goes on meanwhile.
        return await asyncio.to_thread(deduplicate, rows, parameters)
    return deduplicate(rows, parameters)


STAGE = Stage(
    stage_id="deduplicate",
    category="reduce",
    summary="Keep one of several documents with equal fields or alike texts",
    parameters=Parameters,
    run=run,
    percolate=DEPENDS_ON_OTHERS,
)
