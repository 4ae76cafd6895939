"""What of a search's query can be told wrong before any execution (contract section 6, Search)."""

import re
from collections.abc import Mapping
from typing import Any, Final

from streams.engines.retrieval.errors import PlanError, RefusedError
from streams.engines.retrieval.templates.filling import holds_template, is_template
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.engines.retrieval.vectors.queries import (
    is_empty,
    stored_document,
    taken_apart,
    text_query,
    vector_queries,
)

_HOSTED: Final = ("content", "multi_content")
_MODES: Final = ("vector", "document", "text", *_HOSTED)
_WORD: Final = re.compile(r"\w\w")


def check_query(search: Mapping[str, Any], place: str, where: tuple[str | int, ...]) -> None:
    """Raises :class:`RefusedError` for a query that fails whatever its templates are filled with. ``place`` names
    the search in words, ``where`` is the query's place in the retriever's body."""
    query = search.get("query")
    if is_template(query):
        return
    try:
        value, mode = taken_apart(query, place)
    except PlanError as error:
        raise RefusedError(str(error), where) from error
    if is_template(mode):
        return
    said = isinstance(query, Mapping) and query.get("input_mode") is not None
    if mode not in _MODES:
        raise RefusedError(
            f"{place}: there is no input_mode {mode!r}; use vector, document or text", (*where, "input_mode")
        )
    if mode in _HOSTED:
        raise RefusedError(
            f"{place}: input_mode {mode} needs a hosted embedding model, which this server does not have; use"
            f" vector, or text over {HashingEmbedder.URI}",
            (*where, "input_mode"),
            hosted=True,
        )
    inside = (*where, _key(query, mode)) if isinstance(query, Mapping) else where
    _check_value(search, value, mode, said, place, inside)


def _check_value(
    search: Mapping[str, Any], value: Any, mode: str, said: bool, place: str, where: tuple[str | int, ...]
) -> None:
    query, uri, lexical = search.get("query"), search.get("feature_uri"), search.get("lexical", False)
    waits = holds_template(value)
    if lexical is True and mode != "text":
        raise RefusedError(f"{place}: a lexical search takes a text: {{input_mode: text, value}}", where)
    if mode == "document" and not waits and not isinstance(value, Mapping):
        raise RefusedError(f"{place}: input_mode document needs document_ref with a document_id", where)
    empty = not waits and is_empty(query, place)
    if empty and not said and search.get("on_empty", "error") == "error":
        raise RefusedError(f"{place}: the query is empty", where)
    if mode == "text" and lexical is False and (said or not (waits or empty)) and not _embeds(uri):
        raise RefusedError(
            f"{place}: a text over {uri} needs a hosted embedding model, which this server does not have; give a"
            f" vector, search {HashingEmbedder.URI}, or set lexical",
            where,
            hosted=True,
        )
    if empty and search.get("on_empty", "error") == "error":
        raise RefusedError(f"{place}: the query is empty", where)
    if waits or empty:
        return
    try:
        if mode == "vector" and isinstance(uri, str) and not is_template(uri):
            vector_queries(value, uri, place)
        elif mode == "document":
            stored_document(value, place)
        elif mode == "text":
            text = text_query(query, place) if lexical is True else value
            if type(text) is not str:
                raise PlanError(f"{place}: a text query is a string")
            if not _WORD.search(text):
                raise PlanError(f"{place}: the text has no words of two or more letters")
    except PlanError as error:
        raise RefusedError(str(error), where) from error


def _embeds(uri: Any) -> bool:
    """Whether the built-in embedder may be meant."""
    return uri == HashingEmbedder.URI or holds_template(uri)


def _key(query: Mapping[str, Any], mode: str) -> str:
    if mode == "document":
        return "document_ref"
    return "text" if "value" not in query and "text" in query else "value"
