"""``/v1/taxonomies`` (contract 2.6): definitions that stages of retrievers enrich documents with."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from schemas.api.document import DeletedResponse
from schemas.api.join import JoinRequest, JoinResponse
from schemas.api.named import named_by_taxonomy
from schemas.api.pages import ListRequest, Pagination
from schemas.api.taxonomy import (
    CloneTaxonomyRequest,
    CloneTaxonomyResponse,
    CreateTaxonomyRequest,
    ListTaxonomiesRequest,
    ListTaxonomiesResponse,
    PatchTaxonomyRequest,
    TaxonomyResponse,
)
from schemas.ids import new_id
from streams.api.listing import ListBodyDep, list_page
from streams.api.names import not_enabled
from streams.api.naming import refuse_used, with_ids
from streams.api.references import delete_needed
from streams.api.retrieval.gate import GateDep
from streams.api.store import change, require, require_name, save
from streams.api.taxonomies import check_enabled, check_tree, clone_request, new_body, patched_body, response
from streams.api.taxonomy_join import join, read_samples
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition
from streams.runtime.http.access import AccessDep, ContextDep
from streams.runtime.http.errors import not_found
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.http.pages import PageDep, PageRequest, page_envelope, page_of

router = APIRouter(prefix="/v1/taxonomies", tags=["taxonomies"], route_class=JsonRoute)


@router.post("")
async def create_taxonomy(
    body: CreateTaxonomyRequest, access: AccessDep, context: ContextDep, answer: Response
) -> TaxonomyResponse:
    """Create a taxonomy over collections, matched by retrievers that are there."""
    async with change(context, answer) as connection:
        return response(await _create(connection, access.namespace_id, body))


@router.post("/{taxonomy_identifier}/clone")
async def clone_taxonomy(
    taxonomy_identifier: str, body: CloneTaxonomyRequest, access: AccessDep, context: ContextDep, answer: Response
) -> CloneTaxonomyResponse:
    """Create a copy of a taxonomy under another name, with what the request has otherwise."""
    async with change(context, answer) as connection:
        source = await require(connection, "taxonomy", access.namespace_id, taxonomy_identifier)
        stored = await _create(connection, access.namespace_id, clone_request(source.body, body))
    return CloneTaxonomyResponse(taxonomy=response(stored), source_taxonomy_id=source.record.id)


async def _create(connection: Connection, namespace_id: str, body: CreateTaxonomyRequest) -> StoredDefinition:
    check_enabled(body.config)
    await require_name(connection, "taxonomy", namespace_id, body.taxonomy_name, "taxonomy_name")
    config = body.config.filled()
    await with_ids(connection, namespace_id, named_by_taxonomy(config))
    check_tree(config)
    taxonomy_id = new_id("taxonomy")
    fields = new_body(body, taxonomy_id, config)
    return await save(connection, "taxonomy", namespace_id, taxonomy_id, body.taxonomy_name, fields)


@router.get("/{taxonomy_identifier}")
async def get_taxonomy(
    taxonomy_identifier: str,
    access: AccessDep,
    context: ContextDep,
    version: Annotated[int | None, Query(ge=1)] = None,
) -> TaxonomyResponse:
    """A taxonomy by id or name; of versions there is the one."""
    async with context.database.connection() as connection:
        stored = await require(connection, "taxonomy", access.namespace_id, taxonomy_identifier)
    _check_version(stored, version)
    return response(stored)


@router.get("/{taxonomy_id}/versions")
async def list_versions(taxonomy_id: str, access: AccessDep, context: ContextDep) -> ListTaxonomiesResponse:
    """The versions of a taxonomy: as how it matches is fixed, there is the one."""
    async with context.database.connection() as connection:
        stored = await require(connection, "taxonomy", access.namespace_id, taxonomy_id)
    page = PageRequest(limit=1, offset=0, cursor=None, include_total=True)
    return ListTaxonomiesResponse(
        results=[response(stored)], pagination=Pagination(**page_envelope(page, 1, None)), total_count=1
    )


@router.patch("/{taxonomy_identifier}")
async def patch_taxonomy(
    taxonomy_identifier: str,
    body: PatchTaxonomyRequest,
    access: AccessDep,
    context: ContextDep,
    answer: Response,
) -> TaxonomyResponse:
    """Change what a taxonomy is called and described by."""
    namespace_id = access.namespace_id
    async with change(context, answer) as connection:
        stored = await require(connection, "taxonomy", namespace_id, taxonomy_identifier)
        changed = patched_body(stored.body, body)
        name = changed["taxonomy_name"]
        if name != stored.body["taxonomy_name"]:
            await require_name(connection, "taxonomy", namespace_id, name, "taxonomy_name")
        stored = await save(connection, "taxonomy", namespace_id, stored.record.id, name, changed)
    return response(stored)


@router.delete("/{taxonomy_identifier}")
async def delete_taxonomy(
    taxonomy_identifier: str, access: AccessDep, context: ContextDep, answer: Response
) -> DeletedResponse:
    """Delete a taxonomy. One that retrievers enrich documents with is refused: they would fail."""
    namespace_id = access.namespace_id
    async with change(context, answer) as connection:
        stored = await require(connection, "taxonomy", namespace_id, taxonomy_identifier)
        await refuse_used(connection, "taxonomy", stored)
        await delete_needed(connection, stored)
    return DeletedResponse()


@router.post("/execute/{taxonomy_identifier}", deprecated=True)
@router.post("/{taxonomy_identifier}/execute")
async def execute_taxonomy(
    taxonomy_identifier: str,
    body: JoinRequest,
    access: AccessDep,
    context: ContextDep,
    gate: GateDep,
    version: Annotated[int | None, Query(ge=1)] = None,
) -> JoinResponse:
    """Try a taxonomy out on some documents: what they are matched to, and what an enrichment would make of them.
    Nothing is written."""
    if body.join_mode == "batch":
        raise not_enabled("join_mode 'batch'", "a trigger with an action of type taxonomy_enrichment")
    if body.retriever is not None:
        raise not_enabled("another retriever than the taxonomy's", "a taxonomy with that retriever")
    now = context.clock()
    events = read_samples(body.source_documents, access.namespace_id, now)
    async with context.database.connection() as connection:
        stored = await require(connection, "taxonomy", access.namespace_id, taxonomy_identifier)
    _check_version(stored, version)
    return await gate.run(join(context, stored, events, now))


def _check_version(stored: StoredDefinition, version: int | None) -> None:
    if version is not None and version != stored.body["version"]:
        raise not_found("taxonomy version", f"{stored.record.id} version {version}")


async def _list(
    request: Request, access: AccessDep, context: ContextDep, page: PageRequest, body: ListRequest
) -> ListTaxonomiesResponse:
    async with context.database.transaction(snapshot=True) as connection:
        found = await list_page(connection, "taxonomy", access.namespace_id, page_of(request, page, body), body)
    return ListTaxonomiesResponse(
        results=[response(item) for item in found.results],
        pagination=found.pagination,
        total_count=found.total,
    )


@router.post("/list")
async def list_taxonomies(
    request: Request,
    access: AccessDep,
    context: ContextDep,
    page: PageDep,
    body: ListTaxonomiesRequest | None = None,
) -> ListTaxonomiesResponse:
    """Taxonomies, newest first."""
    return await _list(request, access, context, page, body or ListRequest())


@router.get("")
async def get_taxonomies(
    request: Request, access: AccessDep, context: ContextDep, page: PageDep, body: ListBodyDep
) -> ListTaxonomiesResponse:
    """Taxonomies, newest first."""
    return await _list(request, access, context, page, body)
