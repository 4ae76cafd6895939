"""Whether the query vectors that a retriever has written out are as long as those of the collections it searches,
where these declare their vector indexes (contract 4.4). What documents hold is known when they are searched."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.percolate.constants import renderer
from streams.engines.retrieval.percolate.plan import NO_INPUTS
from streams.engines.retrieval.templates.filling import holds_template
from streams.engines.retrieval.vectors.features import resolve_feature

Path: TypeAlias = tuple[str | int, ...]
Declared: TypeAlias = Mapping[str, Mapping[str, int]]
"""Collection → feature URI → dimensions of its index."""
_MAX_DEPTH: Final = 3


class SizeError(PlanError):
    """A query vector of another length than the index it is compared with. ``path`` leads to it from the
    retriever's body, ``problem`` is the message without it."""

    def __init__(self, path: Path, problem: str) -> None:
        where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
        super().__init__(f"{where}: {problem}")
        self.path = path
        self.problem = problem


class QuerySize(NamedTuple):
    """The length of one query vector."""

    path: Path
    feature_uri: str
    dimensions: int
    collections: tuple[str, ...] | None
    """Where it searches; ``None`` for the whole namespace."""


def query_sizes(retriever: Mapping[str, Any], constants: Mapping[str, Any] = NO_INPUTS) -> Iterator[QuerySize]:
    """The vectors that the searches of a retriever body have written out, also in retrievers written inside it;
    ``constants`` fill templates. What has no value yet, and what is no vector, is left out."""
    yield from _of_stages(retriever, constants, ())


def check_sizes(queries: Iterable[QuerySize], declared: Declared) -> None:
    """Raises :class:`SizeError` for a query that does not fit an index of a collection it names or, over the whole
    namespace, that fits none of the indexes that its feature has."""
    for query in queries:
        wrong: list[tuple[str, int]] = []
        fits = False
        for collection in declared if query.collections is None else query.collections:
            sizes = declared.get(collection, {})
            name = resolve_feature(query.feature_uri, sizes)
            if name is not None and sizes[name] != query.dimensions:
                wrong.append((collection, sizes[name]))
            fits = fits or (name is not None and sizes[name] == query.dimensions)
        if wrong and (query.collections is not None or not fits):
            collection, dimensions = wrong[0]
            raise SizeError(
                query.path,
                f"vectors of {query.feature_uri} have {dimensions} dimensions in the collection {collection},"
                f" not {query.dimensions}",
            )


def _of_stages(retriever: Mapping[str, Any], constants: Mapping[str, Any], path: Path) -> Iterator[QuerySize]:
    stages = retriever.get("stages")
    for index, stage in enumerate(stages if isinstance(stages, list) else ()):
        if not isinstance(stage, Mapping):
            continue
        config, here = stage.get("config"), (*path, "stages", index)
        if isinstance(config, Mapping):
            here = (*here, "config")
        else:
            config = stage
        parameters = config.get("parameters")
        if not isinstance(parameters, Mapping):
            continue
        here = (*here, "parameters")
        inner = parameters.get("retriever_config")
        if config.get("stage_id") == "feature_search":
            scope = _named(parameters) or _named(retriever)
            yield from _of_searches(parameters, constants, here, scope)
        elif isinstance(inner, Mapping) and path.count("retriever_config") < _MAX_DEPTH:
            yield from _of_stages(inner, constants, (*here, "retriever_config"))


def _of_searches(
    parameters: Mapping[str, Any], constants: Mapping[str, Any], path: Path, scope: tuple[str, ...] | None
) -> Iterator[QuerySize]:
    for key, uri_key, query_key in (("searches", "feature_uri", "query"), ("feature_uris", "uri", "input")):
        searches = parameters.get(key)
        for index, search in enumerate(searches if isinstance(searches, list) else ()):
            if not isinstance(search, Mapping) or search.get("lexical"):
                continue
            uri, query = (_filled(search.get(name), constants) for name in (uri_key, query_key))
            if not isinstance(uri, str):
                continue
            for below, size in _vectors(query):
                where = (*path, key, index, query_key, *below)
                yield QuerySize(where, uri, size, _named(search) or scope)


def _vectors(query: Any) -> Iterator[tuple[Path, int]]:
    """The vectors of a query: where below it, and how long."""
    below: Path = ()
    if isinstance(query, Mapping):
        if query.get("input_mode", "vector") != "vector":
            return
        below = ("value",) if "value" in query else ("vector",)
        query = query.get(str(below[0]))
    if not isinstance(query, list) or not query:
        return
    if all(isinstance(one, list) for one in query):
        yield from (((*below, at), len(one)) for at, one in enumerate(query))
    elif type(query[0]) in (int, float):
        yield below, len(query)


def _filled(value: Any, constants: Mapping[str, Any]) -> Any:
    if not holds_template(value):
        return value
    try:
        return renderer(constants)(value)
    except PlanError:
        # It waits for inputs; how long they are shows when they come.
        return None


def _named(holder: Mapping[str, Any]) -> tuple[str, ...] | None:
    named: Sequence[Any] = holder.get("collection_identifiers") or ()
    return tuple(map(str, named)) or None
