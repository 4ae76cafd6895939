"""``/v1/retrievers/…/execute``: retrievers run over the stored documents (contract 2.2, 4.5, 4.6)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from schemas.api.base import JsonObject
from schemas.api.execution import AdhocRequest, BatchRequest, CursorPage, ExecuteRequest
from schemas.api.named import named_by_stages
from schemas.api.retriever import input_fields
from schemas.api.retriever_execution import ExecuteBatchResponse, ExecuteRetrieverResponse
from streams.api.names import not_enabled
from streams.api.naming import with_ids
from streams.api.retrieval import events
from streams.api.retrieval.gate import Gate, GateDep
from streams.api.retrieval.running import Answer, ConsistencyMode, Question, answer
from streams.api.retrievers import checked_schema
from streams.api.stages import check_runnable, stored_stages
from streams.api.store import require
from streams.engines.retrieval.errors import InputError, PlanError
from streams.engines.retrieval.execution.inputs import bind
from streams.engines.retrieval.execution.prepare import Prepared, prepare
from streams.runtime.agent import Context
from streams.runtime.http.access import AccessDep, ContextDep
from streams.runtime.http.errors import ApiError, invalid
from streams.runtime.http.event_stream import event_stream, streamed
from streams.runtime.http.freshness import await_documents
from streams.runtime.http.json_route import JsonRoute

router = APIRouter(prefix="/v1/retrievers", tags=["retrievers"], route_class=JsonRoute)

_NO_STRONG = (
    "documents are searched as far as they have been collected (position says how far): "
    "a write that was just answered may not be among them; send its write_token to wait for it"
)


_STAGES: Final = streamed(
    None,
    'data: {"event_type":"stage_start","execution_id":"exec_9a41","stage_name":"mentions","stage_index":0}\n\n'
    'data: {"event_type":"execution_complete","execution_id":"exec_9a41","status":"completed","documents":[]}\n\n',
)
"""With ``stream: true`` every stage as it begins and ends, then the whole."""
_QUERIES: Final = streamed(
    None,
    'data: {"event_type":"query_complete","query_index":0,"status":"completed","documents":[]}\n\n'
    'data: {"event_type":"batch_complete","total":1,"completed":1,"failed":0}\n\n',
)
"""With ``stream: true`` each answer as it comes, then how many there were."""


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags that may stand in the query string; there they win over the body."""

    return_vectors: bool | None
    explain: bool | None
    legacy: bool


async def read_flags(
    return_presigned_urls: bool | None = None,
    return_vectors: bool | None = None,
    explain: bool | None = None,
    include_legacy_results: bool = False,
    skip_cache: bool | None = None,
) -> Flags:
    """The flags of a request, those that change nothing among them."""
    return Flags(return_vectors, explain, include_legacy_results)


FlagsDep = Annotated[Flags, Depends(read_flags)]


@router.post("/execute", response_model=ExecuteRetrieverResponse, responses=_STAGES)
async def execute_adhoc(
    body: AdhocRequest, access: AccessDep, context: ContextDep, gate: GateDep, flags: FlagsDep
) -> Response:
    """Run a retriever that is not stored."""
    namespace_id = access.namespace_id
    stages = stored_stages(body.stages)
    async with context.database.connection() as connection:
        named = [*(body.collection_identifiers or ()), *(body.collection_ids or ())]
        collections = [(await require(connection, "collection", namespace_id, name)).record.id for name in named]
        await with_ids(connection, namespace_id, named_by_stages(stages))
    retriever = {
        "collection_identifiers": list(dict.fromkeys(collections)),
        "stages": stages,
        "input_schema": checked_schema(input_fields(body.input_schema)),
        "budget_limits": None if body.budget_limits is None else body.budget_limits.filled(),
    }
    check_runnable(retriever)
    filters = body.filters if body.filters is not None else body.pre_filters
    question = _question(namespace_id, "", retriever, _prepared(retriever, "body", "stages"), body, flags)
    return await _answered(context, gate, replace(question, filters=filters), body.stream, flags)


@router.post("/{retriever_id}/execute", response_model=ExecuteRetrieverResponse, responses=_STAGES)
async def execute_retriever(
    retriever_id: str,
    access: AccessDep,
    context: ContextDep,
    gate: GateDep,
    flags: FlagsDep,
    request: Request,
    body: ExecuteRequest | None = None,
) -> Response:
    """Run a retriever; with a ``write_token`` once that write has been collected."""
    asked = body or ExecuteRequest()
    if asked.target_collection_id is not None:
        raise not_enabled("target_collection_id", "read the documents of the answer and write them yourself")
    identifier, retriever, prepared = await _stored(context, access.namespace_id, retriever_id)
    question = _question(access.namespace_id, identifier, retriever, prepared, asked, flags)
    warnings = list(question.warnings)
    if asked.write_token is not None:
        await await_documents(request, asked.write_token)
    elif asked.consistency is not None and asked.consistency.mode == "strong":
        warnings.append(_NO_STRONG)
    mode: ConsistencyMode = "eventual" if asked.write_token is None else "strong"
    question = replace(question, expand=asked.expand or (), warnings=warnings, consistency_mode=mode)
    return await _answered(context, gate, question, asked.stream, flags)


@router.post("/{retriever_id}/execute/batch", response_model=ExecuteBatchResponse, responses=_QUERIES)
async def execute_batch(
    retriever_id: str,
    body: BatchRequest,
    access: AccessDep,
    context: ContextDep,
    gate: GateDep,
    flags: FlagsDep,
) -> Response:
    """Run a retriever with several inputs; answers in the order of the questions."""
    identifier, retriever, prepared = await _stored(context, access.namespace_id, retriever_id)
    vectors = body.return_vectors if flags.return_vectors is None else flags.return_vectors
    questions = []
    for index, query in enumerate(body.queries):
        _check_inputs(prepared, query.inputs, "body", "queries", index, "inputs")
        questions.append(
            Question(
                namespace_id=access.namespace_id,
                retriever_id=identifier,
                retriever=prepared,
                body=retriever,
                inputs=query.inputs,
                filters=query.filters,
                page=CursorPage(limit=body.limit),
                return_vectors=vectors,
                explain=bool(flags.explain),
                exact=body.exact,
            )
        )
    places = asyncio.Semaphore(body.concurrency)

    async def one(index: int, question: Question) -> JsonObject:
        async with places:
            try:
                response = (await _run(context, gate, question)).response
            except ApiError as error:
                response = {"execution_id": question.execution_id, "status": "failed", "error": error.message}
            return {"query_index": index, **_legacy(response, flags)}

    running = [asyncio.create_task(one(index, question)) for index, question in enumerate(questions)]
    if body.stream:
        return event_stream(_as_they_come(running))
    results = await asyncio.gather(*running)
    return _json({"retriever_id": identifier, "results": results, **_counted(results)})


async def _as_they_come(running: Sequence[asyncio.Task[JsonObject]]) -> AsyncIterator[bytes]:
    results = []
    for done in asyncio.as_completed(running):
        results.append(await done)
        yield events.line({"event_type": "query_complete", **results[-1]})
    yield events.line({"event_type": "batch_complete", **_counted(results)})


def _counted(results: Sequence[JsonObject]) -> JsonObject:
    completed = sum(result["status"] == "completed" for result in results)
    return {"total": len(results), "completed": completed, "failed": len(results) - completed}


async def _stored(context: Context, namespace_id: str, identifier: str) -> tuple[str, JsonObject, Prepared]:
    async with context.database.connection() as connection:
        stored = await require(connection, "retriever", namespace_id, identifier)
    return stored.record.id, stored.body, _prepared(stored.body, "path", "retriever_id")


def _prepared(retriever: JsonObject, *location: str) -> Prepared:
    try:
        return prepare(retriever)
    except PlanError as error:
        raise invalid(f"The retriever cannot run: {error}", *location) from error


def _question(
    namespace_id: str,
    retriever_id: str,
    retriever: JsonObject,
    prepared: Prepared,
    body: ExecuteRequest | AdhocRequest,
    flags: Flags,
) -> Question:
    _check_inputs(prepared, body.inputs, "body", "inputs")
    warning = body.size_warning()
    return Question(
        namespace_id=namespace_id,
        retriever_id=retriever_id,
        retriever=prepared,
        body=retriever,
        inputs=body.inputs,
        filters=body.filters,
        page=body.page(),
        return_vectors=body.return_vectors if flags.return_vectors is None else flags.return_vectors,
        explain=body.explain if flags.explain is None else flags.explain,
        exact=body.exact,
        warnings=() if warning is None else (warning,),
    )


def _check_inputs(prepared: Prepared, inputs: JsonObject, *location: str | int) -> None:
    """Raises 422 naming every input that is missing or of the wrong type."""
    try:
        bind(prepared.input_schema, inputs)
    except InputError as error:
        problems = [
            {
                "type": "missing" if problem == "it is required" else "value_error",
                "location": [*location, *name.split(".")],
                "message": f"input {name}: {problem}",
            }
            for name, problem in error.problems
        ]
        raise ApiError(422, str(error), details={"validation_errors": problems}) from error


async def _answered(context: Context, gate: Gate, question: Question, stream: bool, flags: Flags) -> Response:
    if not stream:
        return _json(_legacy((await _run(context, gate, question)).response, flags))
    at = question.place(context.clock())
    sending = events.Events(question)
    running = asyncio.create_task(gate.run(answer(context, question, at, sending.watch)))
    try:
        await sending.begun(running)
    except PlanError as error:
        raise invalid(str(error), "body", "filters") from error
    except asyncio.CancelledError:
        # One that has no place yet is not begun.
        running.cancel()
        raise
    return event_stream(sending.sent(running))


async def _run(context: Context, gate: Gate, question: Question) -> Answer:
    at = question.place(context.clock())
    try:
        return await gate.run(answer(context, question, at))
    except PlanError as error:
        raise invalid(str(error), "body", "filters") from error


def _legacy(response: JsonObject, flags: Flags) -> JsonObject:
    return {**response, "results": response["documents"]} if flags.legacy and "documents" in response else response


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
