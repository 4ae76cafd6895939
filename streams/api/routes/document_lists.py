"""Lists of the documents of a collection, and figures over them (contract 2.9)."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import ValidationError

from schemas.api.base import SHAPE, JsonObject, first_problem
from schemas.api.document import (
    DocumentGroup,
    DocumentListStats,
    ListDocumentsRequest,
    ListDocumentsResponse,
)
from schemas.api.document_figures import AggregateRequest, AggregateResponse, DistinctRequest, DistinctResponse
from schemas.api.filters import FILTER
from schemas.api.pages import Pagination, Sort
from schemas.strict_json import problem_in
from streams.api.collection_heads import collection_id_of
from streams.api.counts import document_counts
from streams.api.document_figures import aggregated, distinct
from streams.api.document_lists import Source, count_documents, grouped, list_documents
from streams.api.document_query import Wanted, plan_of, wanted
from streams.api.documents import Shown, document_response
from streams.api.expand import expanded
from streams.api.routes.documents import shown
from streams.api.stored import pending_counts, with_vectors
from streams.engines.retrieval.filters.paths import parse_path
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.http.access import Access, AccessDep, ContextDep
from streams.runtime.http.errors import invalid
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.http.openapi.shapes import CONTENT
from streams.runtime.http.pages import PageDep, PageRequest, bad_cursor, page_envelope, page_of

router = APIRouter(tags=["documents"], route_class=JsonRoute)

_COLLECTION = "/v1/collections/{collection_identifier}/documents"
DEFAULT_LIMIT = 10
FilterText = Annotated[str | None, Query(max_length=16_384, json_schema_extra={CONTENT: {SHAPE: FILTER}})]
_SORT: Final = r"^([^\s{:\x00.][^:\x00.]{0,99}(\.[^:\x00.]{1,99}){0,9}(:(asc|desc))?)?$"
SortText = Annotated[
    str | None,
    Query(
        max_length=16_384,
        description="`field` or `field:asc`; also `{field, direction}` as JSON",
        json_schema_extra={"pattern": _SORT},
    ),
]


def _read_json(text: str, name: str) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid(f"{name} must be JSON: {error}", "query", name) from error
    if (problem := problem_in(value)) is not None:
        raise invalid(f"{name} cannot be read: {problem}", "query", name)
    return value


def _sort(text: str) -> JsonObject:
    """``{"field": …}`` as JSON, or ``field`` and ``field:direction``."""
    if text.lstrip().startswith("{"):
        value: JsonObject = _read_json(text, "sort")
        return value
    if re.fullmatch(_SORT, text) is None:
        raise invalid("sort is field, field:asc or field:desc", "query", "sort")
    field, colon, direction = text.rpartition(":")
    return {"field": field, "direction": direction} if colon else {"field": text}


def _asked(
    body: ListDocumentsRequest, filters: str | None, search: str | None, sort: str | None, return_vectors: bool
) -> ListDocumentsRequest:
    """A list body with what the query says, which wins (contract 1.1). Raises 422."""
    given: JsonObject = {}
    if filters:
        given["filters"] = _read_json(filters, "filters")
        if not isinstance(given["filters"], dict):
            raise invalid("filters must be a JSON object", "query", "filters")
    if sort:
        given["sorts"] = None
        try:
            given["sort"] = Sort.model_validate(_sort(sort))
        except ValidationError as error:
            raise invalid(f"sort: {first_problem(error)[1]}", "query", "sort") from error
    if search:
        given["search"] = search
    if return_vectors:
        given["return_vectors"] = True
    return body.model_copy(update=given)


def wanted_page(request: Request, page: PageRequest, body: ListDocumentsRequest) -> PageRequest:
    """The page asked for; of documents ten where nothing is said."""
    said = {"limit", "page_size"} & set(request.query_params) or body.limit or body.page_size
    return page_of(request, page, body if said else body.model_copy(update={"limit": DEFAULT_LIMIT}))


async def listed(
    connection: Connection,
    access: Access,
    collection_ids: Sequence[str],
    body: ListDocumentsRequest,
    page: PageRequest,
) -> ListDocumentsResponse:
    """The answer of a list over some collections, in one state of the database. Raises 404, 409 and 422."""
    source = Source(connection, access.namespace_id, collection_ids)
    which = wanted(body.filters, body.search, case_sensitive=body.case_sensitive, partition=body.partition)
    names = shown(body.return_vectors, body.return_vector_names)
    more = Shown(names.vectors, names.vector_names, body.select)
    total = await _total(source, which) if page.include_total else None
    if body.group_by_field is not None:
        return await _groups(source, which, body.group_by_field, page, total, access, more)
    sorts = [*([body.sort] if body.sort else []), *(body.sorts or [])]
    found = await list_documents(source, which, plan_of(sorts), page)
    documents = found.documents
    if more.reads_vectors:
        documents = await with_vectors(connection, documents)
    results = [document_response(document, access.internal_id, more) for document in documents]
    if body.expand:
        await expanded(connection, access, collection_ids, documents, results, body.expand)
    return ListDocumentsResponse(
        results=results,
        pagination=Pagination(**page_envelope(page, total or 0, found.next_cursor)),
        total_documents=total,
        stats=DocumentListStats(total_documents=total),
        warnings=found.warnings or None,
    )


async def _total(source: Source, which: Wanted) -> int:
    if not which.everything:
        return await count_documents(source, which)
    counts = await document_counts(source.connection, source.namespace_id, source.collection_ids)
    coming = await pending_counts(source.connection, source.namespace_id, source.collection_ids)
    return max(0, sum(counts.values()) + sum(coming.values()))


async def _groups(
    source: Source, which: Wanted, field: str, page: PageRequest, total: int | None, access: Access, more: Shown
) -> ListDocumentsResponse:
    offset = page.offset
    if page.cursor is not None:
        match page.cursor:
            case ("group_by", str(name), int(at)) if name == field and 0 <= at < 1 << 31:
                offset = at
            case _:
                raise bad_cursor()
    try:
        path = parse_path(field)
    except ValueError as error:
        raise invalid(str(error), "body", "group_by") from error
    found, count = await grouped(source, which, path, page.limit, offset)
    groups: list[DocumentGroup] = []
    for group in found:
        documents = group.documents
        if more.reads_vectors:
            documents = await with_vectors(source.connection, documents)
        shown_ = [document_response(document, access.internal_id, more) for document in documents]
        groups.append(DocumentGroup(group_key=group.key, documents=shown_, count=group.count))
    end = offset + len(groups)
    following = ("group_by", field, end) if end < count else None
    documents_in = sum(group.count for group in groups)
    return ListDocumentsResponse(
        results=None,
        groups=groups,
        pagination=Pagination(**page_envelope(page, count, following)),
        total_documents=total,
        stats=DocumentListStats(
            total_documents=total,
            total_groups=count,
            avg_documents_per_group=documents_in / len(groups) if groups else None,
        ),
        warnings=None,
        group_by_field=field,
    )


async def _list(
    request: Request,
    collection_identifier: str,
    access: Access,
    context: Context,
    page: PageRequest,
    body: ListDocumentsRequest,
) -> ListDocumentsResponse:
    async with context.database.transaction(snapshot=True) as connection:
        collection_id = await collection_id_of(connection, access.namespace_id, collection_identifier)
        return await listed(connection, access, [collection_id], body, wanted_page(request, page, body))


@router.post(f"{_COLLECTION}/list")
async def list_collection_documents(
    request: Request,
    collection_identifier: str,
    access: AccessDep,
    context: ContextDep,
    page: PageDep,
    body: ListDocumentsRequest | None = None,
    filters: FilterText = None,
    search: Annotated[str | None, Query(max_length=1_000)] = None,
    sort: SortText = None,
    return_vectors: bool = False,
    return_presigned_urls: bool = False,
) -> ListDocumentsResponse:
    """Documents of a collection, newest first unless sorted otherwise; ``filters`` and ``sort`` of the query are
    JSON and give way to those of the body."""
    asked = _asked(body or ListDocumentsRequest(), filters, search, sort, return_vectors)
    return await _list(request, collection_identifier, access, context, page, asked)


@router.get(_COLLECTION)
async def get_collection_documents(
    request: Request,
    collection_identifier: str,
    access: AccessDep,
    context: ContextDep,
    page: PageDep,
    filters: FilterText = None,
    search: Annotated[str | None, Query(max_length=1_000)] = None,
    sort: SortText = None,
    return_vectors: bool = False,
    return_presigned_urls: bool = False,
) -> ListDocumentsResponse:
    """Documents of a collection, newest first unless sorted otherwise; ``filters`` and ``sort`` are JSON."""
    asked = _asked(ListDocumentsRequest(), filters, search, sort, return_vectors)
    return await _list(request, collection_identifier, access, context, page, asked)


@router.post(f"{_COLLECTION}/distinct")
async def distinct_document_values(
    collection_identifier: str, body: DistinctRequest, access: AccessDep, context: ContextDep
) -> DistinctResponse:
    """The values of a field, the most frequent first; documents without it count for nothing."""
    async with context.database.transaction(snapshot=True) as connection:
        collection_id = await collection_id_of(connection, access.namespace_id, collection_identifier)
        return await distinct(Source(connection, access.namespace_id, [collection_id]), body)


@router.post(f"{_COLLECTION}/aggregate")
async def aggregate_documents(
    collection_identifier: str, body: AggregateRequest, access: AccessDep, context: ContextDep
) -> AggregateResponse:
    """Figures over the documents of a collection, per group."""
    async with context.database.transaction(snapshot=True) as connection:
        collection_id = await collection_id_of(connection, access.namespace_id, collection_identifier)
        return await aggregated(Source(connection, access.namespace_id, [collection_id]), body)
