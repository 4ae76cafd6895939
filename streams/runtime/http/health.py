"""Health of the query service (contract 2.10) and its metrics."""

import asyncio
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Depends, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from schemas.api.health import DeepHealthResponse, HealthResponse
from streams.runtime.agent import Context
from streams.runtime.definitions import current_version
from streams.runtime.http.access import Caller, ContextDep, authenticate
from streams.runtime.http.freshness import freshness
from streams.runtime.http.headers import DEFINITIONS_VERSION
from streams.runtime.metrics import all_processes

log = structlog.get_logger(__name__)

_PATIENCE_SECONDS = 5.0
STANDS_SECONDS: Final = 30.0
"""A view that does not go on for so long is not well: longer than partitions take to move to another process."""

router = APIRouter()


@router.get("/v1/health", response_model=HealthResponse)
@router.get("/v1/health/liveness", response_model=HealthResponse)
@router.get("/v1/health/beat", response_model=HealthResponse)
async def liveness() -> dict[str, str]:
    """The process answers."""
    return {"status": "OK"}


@router.get("/v1/health/deep", response_model=DeepHealthResponse, dependencies=[Depends(authenticate)])
async def deep(request: Request, context: ContextDep) -> Response:
    """Whether what the service stands on answers. The vendor's names map to our two engines: everything that
    is stored is in PostgreSQL, the queue of tasks is Kafka; cache and inference are inside the process. Analytics
    are the view of results, which must go on while there is something to read."""
    (version, stored), queued, viewed = await asyncio.gather(_database(context), _broker(context), _view(request))
    errors = {
        name: error
        for name, error in (
            ("metadata", stored),
            ("vector_store", stored),
            ("object_storage", stored),
            ("analytics", stored or viewed),
            ("task_queue", queued),
        )
        if error is not None
    }
    names = ("cache", "metadata", "vector_store", "object_storage", "task_queue", "inference", "analytics")
    body: dict[str, Any] = {
        "status": "DEGRADED" if errors else "OK",
        "data": {name: name not in errors for name in names},
        "errors": errors or None,
        "meta": {"definitions_version": version},
    }
    return JSONResponse(body, headers={} if version is None else {DEFINITIONS_VERSION: version})


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, caller: Annotated[Caller, Depends(authenticate)]) -> Response:
    """The metrics of the service, of all its processes together, in Prometheus' text format, for keys of the
    server itself."""
    caller.require_server()
    await _view(request)
    return Response(generate_latest(all_processes()), media_type=CONTENT_TYPE_LATEST)


async def _database(context: Context) -> tuple[str | None, str | None]:
    """The definitions version, or why it could not be read."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS), context.database.connection() as connection:
            return str(await current_version(connection)), None
    except Exception as error:
        # Whatever is wrong with a dependency is the answer of this endpoint, not its failure.
        log.warning("database_unhealthy", error=repr(error))
        return None, type(error).__name__


async def _view(request: Request) -> str | None:
    """That the view does not go on, or ``None``; also where that cannot be found out."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            stood = await freshness(request).stands_still()
    except Exception as error:
        # As above. What does not answer says so itself.
        log.warning("view_not_measured", error=repr(error))
        return None
    if stood is None or stood < STANDS_SECONDS:
        return None
    log.warning("view_stands_still", seconds=round(stood))
    return f"The view of results stands still for {stood:.0f} s, though there is more to read"


async def _broker(context: Context) -> str | None:
    """Why the broker does not answer, or ``None``."""
    admin = context.broker.admin()
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await admin.start()
            await admin.list_topics()
    except Exception as error:
        # As above.
        log.warning("broker_unhealthy", error=repr(error))
        return type(error).__name__
    finally:
        await admin.close()
    return None
