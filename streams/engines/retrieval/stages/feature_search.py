"""``feature_search``: documents most like the queries of one or several searches (contract section 6)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from streams.engines.retrieval.errors import PlanError, StageError
from streams.engines.retrieval.execution.corpus import Scope
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.percolate.plan import Search as StandingSearch
from streams.engines.retrieval.stages import facets
from streams.engines.retrieval.stages.fusion import Fusion, fuse
from streams.engines.retrieval.stages.group_by import Parameters as Grouping
from streams.engines.retrieval.stages.group_by import group
from streams.engines.retrieval.stages.percolating import DEPENDS_ON_OTHERS
from streams.engines.retrieval.stages.search_given import Hit, Key
from streams.engines.retrieval.stages.search_parameters import GroupBy, Parameters, Search, lacks_candidates
from streams.engines.retrieval.stages.searching import collections_of, find
from streams.engines.retrieval.stages.stage import Row, Stage
from streams.engines.retrieval.vectors.queries import StoredDocument, read_query

if TYPE_CHECKING:
    from streams.engines.retrieval.percolate.draft import Draft

SCAN_LIMIT: Final = 1_000
"""Documents per collection of a scan without searches."""
EXACT_LIMIT: Final = 1_000_000
"""Documents per collection that an exact facet looks at."""


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Search the corpus as the first stage, else rank the rows; best first, each with its score. Without searches
    the documents that the filters let through, without scores."""
    scope = Scope(collections_of(parameters.collection_identifiers, run, run.place) or run.collections, run.where)
    if parameters.searches:
        found = await _searched(rows, parameters, scope, run)
        run.notes.total = len(found)
    else:
        found = await run.scan(SCAN_LIMIT, scope) if run.first else rows
    if parameters.facets is not None:
        await _count_facets(parameters.facets, rows, scope, run)
    if parameters.group_by is not None:
        return _grouped(found, parameters.group_by)
    return found[: parameters.final_top_k]


async def _searched(rows: list[Row], parameters: Parameters, scope: Scope, run: Run) -> list[Row]:
    lists: list[tuple[list[Hit], float]] = []
    for number, search in enumerate(parameters.searches, start=1):
        found = await find(search, rows, scope, f"{run.place}, search {number}", run)
        if found is not None:
            lists.append((found, search.weight))
    if not lists:
        raise StageError(f"{run.place}: every search was skipped because its query or its index is empty")
    if len(parameters.searches) == 1:
        return [row for _, row in lists[0][0]]
    assert parameters.fusion != "learned", "refused when the parameters are read"
    return _fused(lists, parameters.fusion)


def _fused(lists: Sequence[tuple[list[Hit], float]], how: Fusion) -> list[Row]:
    rows: dict[Key, Row] = {}
    for hits, _ in lists:
        for key, row in hits:
            before = rows.get(key)
            rows[key] = row if before is None else replace(before, matched=_best(before.matched, row.matched))
    ranked = [([(key, row.score or 0.0) for key, row in hits], weight) for hits, weight in lists]
    return [replace(rows[key], score=score) for key, score in fuse(how, ranked)]


def _best(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {uri: max(one.get(uri, -1.0), other.get(uri, -1.0)) for uri in {**one, **other}}


async def _count_facets(asked: Sequence[facets.Facet], rows: Sequence[Row], scope: Scope, run: Run) -> None:
    """Count over everything the filters let through, whatever the searches find."""
    counted = rows
    if run.first:
        counted = await run.corpus.scan(
            scope, EXACT_LIMIT if any(facet.exact for facet in asked) else facets.FAST_LIMIT
        )
        run.budget.charge(len(counted))
    run.notes.facets = [facets.count(facet, counted) for facet in asked]


def _grouped(found: Sequence[Row], by: GroupBy) -> list[Row]:
    grouping = Grouping(
        group_by_field=by.field, max_per_group=by.max_per_group, output_mode=by.output_mode, max_groups=by.limit
    )
    return group(found, grouping)


def percolate(draft: "Draft", parameters: Parameters, place: str) -> None:
    """The searches become thresholds on the document's similarity."""
    if draft.tailed:
        raise PlanError(f"{place}: a feature_search cannot follow a stage that runs on the matching document")
    if draft.searches is not None:
        raise PlanError(
            f"{place}: a second feature_search cannot run on one document; put its searches in the first"
        )
    if parameters.group_by is not None:
        raise PlanError(f"{place}: group_by {DEPENDS_ON_OTHERS}")
    _targets(parameters.collection_identifiers, place, draft.collection_id)
    several = len(parameters.searches) > 1
    draft.searches = []
    for number, search in enumerate(parameters.searches, start=1):
        here = f"{place}, search {number}"
        draft.searches.append(_standing(search, here, draft.collection_id))
        if search.where is not None and several:
            raise PlanError(f"{here}: filters of one search among several are not supported; use pre_filters")
        draft.add_filter(search.where, f"{place}: filters")
    draft.ranked = several and parameters.fusion in ("rrf", "dbsf")
    draft.fusion = "max" if parameters.fusion == "max" else "mean"


def _standing(search: Search, place: str, collection_id: str | None) -> StandingSearch:
    """A search over one document. Raises :class:`PlanError` for what one document cannot answer."""
    if search.lexical:
        raise PlanError(f"{place}: lexical ranks by the whole collection; use the text or words filter instead")
    _targets(search.collection_identifiers, place, collection_id)
    if search.query is None:
        raise PlanError(f"{place}: query is required: {{input_mode, value}}")
    vectors = search.vectors
    query = read_query(search.query, search.feature_uri, place) if vectors is None else vectors
    if isinstance(query, StoredDocument):
        raise PlanError(f"{place}: a stored document as the query is not known here; give its vector")
    if len(query) > 1:
        raise PlanError(f"{place}: several vectors in one query are not supported; use one search for each")
    return StandingSearch(search.feature_uri, query[0], search.min_score, search.weight, search.optional)


def _targets(named: Sequence[str] | None, place: str, collection_id: str | None) -> None:
    """Refuse a search over other collections than the one the document arrives in."""
    if named and collection_id is not None and collection_id not in named:
        raise PlanError(f"{place}: it searches other collections ({', '.join(named)}) than {collection_id}")


def _reads(parameters: Parameters) -> list[str]:
    """The collections that searches and their queries name; searches may still be as they are written."""
    named = list(parameters.collection_identifiers or ())
    for search in parameters.searches:
        raw: Mapping[str, Any] = search if isinstance(search, Mapping) else search.model_dump()
        named.extend(raw.get("collection_identifiers") or ())
        query = raw.get("query")
        reference = query.get("document_ref") if isinstance(query, Mapping) else None
        if isinstance(reference, Mapping) and isinstance(reference.get("collection_id"), str):
            named.append(reference["collection_id"])
    return named


STAGE = Stage(
    stage_id="feature_search",
    category="filter",
    summary="Find the documents most similar to one or several queries",
    parameters=Parameters,
    run=run,
    percolate=percolate,
    source=True,
    needs_filter=lacks_candidates,
    needs_no_filter={"required": ["searches"], "properties": {"searches": {"type": "array", "minItems": 1}}},
    reads=lambda parameters, _: _reads(parameters),
)
