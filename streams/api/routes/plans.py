"""``POST /v1/retrievers/{retriever}/execute/explain``: how a retriever would run, without running it."""

from fastapi import APIRouter

from schemas.api.plan import ExplainRetrieverRequest, ExplainRetrieverResponse
from streams.api.counts import document_counts
from streams.api.plans import RUNS, plan
from streams.api.store import require
from streams.runtime.definitions import list_definitions
from streams.runtime.http.access import AccessDep, ContextDep
from streams.runtime.http.json_route import JsonRoute

router = APIRouter(prefix="/v1/retrievers", tags=["retrievers"], route_class=JsonRoute)


@router.post("/{retriever_id}/execute/explain")
async def explain_retriever(
    retriever_id: str, access: AccessDep, context: ContextDep, body: ExplainRetrieverRequest | None = None
) -> ExplainRetrieverResponse:
    """What each stage of a retriever is given, lets through and takes, by its last runs."""
    namespace_id = access.namespace_id
    async with context.database.transaction(snapshot=True) as connection:
        stored = await require(connection, "retriever", namespace_id, retriever_id)
        searched = stored.body["collection_identifiers"] or [
            item.record.id for item in await list_definitions(connection, "collection", namespace_id)
        ]
        counts = await document_counts(connection, namespace_id, searched)
        cursor = await connection.execute(
            "SELECT detail->'stage_statistics'->'stages' FROM retriever_executions"
            " WHERE namespace_id = %s AND retriever_id = %s AND status = 'completed'"
            " ORDER BY created_at DESC, execution_id DESC LIMIT %s",
            (namespace_id, stored.record.id, RUNS),
        )
        statistics = [row[0] for row in await cursor.fetchall() if isinstance(row[0], dict)]
    return plan(stored.record.id, stored.body, sum(counts.values()), statistics)
