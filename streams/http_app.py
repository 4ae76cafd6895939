"""The HTTP service: one application from the routers of query and api, and the agent that serves it."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace

import structlog
import uvicorn
from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from streams.api.routes import routers as api_routers
from streams.api.shapes import shapes
from streams.query.routes import routers as query_routers
from streams.query.waking import end_streams
from streams.runtime.agent import Context
from streams.runtime.database import Database
from streams.runtime.http import health, session
from streams.runtime.http.body_limit import BodyLimit
from streams.runtime.http.errors import install_error_handlers
from streams.runtime.http.freshness import close_freshness, fresh_documents, fresh_results
from streams.runtime.http.guard import EXPOSED, Guard
from streams.runtime.http.idle import close_slow
from streams.runtime.http.limits import Limits
from streams.runtime.http.openapi.document import install_openapi
from streams.runtime.http.request_id import RequestIds
from streams.settings import listed

log = structlog.get_logger(__name__)


def build_http(context: Context) -> FastAPI:
    """The application. Query's literal routes come before api's ``{identifier}`` routes (contract 1.1)."""
    # The document is our own; the pages that FastAPI has for it are scripts from elsewhere.
    app = FastAPI(title="Tidewatch", openapi_url=None, redirect_slashes=False)
    app.state.context = context
    install_error_handlers(app)
    settings = context.settings
    app.add_middleware(BodyLimit)
    app.add_middleware(Guard, limits=Limits.of(settings), seconds=settings.request_seconds)
    if origins := listed(settings.cors_origins):
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )
    app.add_middleware(RequestIds)
    for router in (health.router, session.router):
        app.include_router(router)
    for router in query_routers():
        app.include_router(router, dependencies=[Depends(fresh_results)])
    for router in api_routers():
        app.include_router(router, dependencies=[Depends(fresh_documents)])
    install_openapi(app, shapes)
    return app


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process, which stops every agent; uvicorn would raise them again at its end."""
        yield


class HttpServer:
    """Serves an application as one agent beside the others."""

    name = "http"

    def __init__(self, context: Context, app: FastAPI) -> None:
        self._context = context
        self._app = app
        trusted = listed(context.settings.trusted_proxies)
        config = uvicorn.Config(
            app,
            proxy_headers=bool(trusted),
            forwarded_allow_ips=trusted,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # Streams of events end only with the server: do not wait for their clients.
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self.port: int | None = None
        """Where it listens, once it does."""

    def stop(self) -> None:
        """Finish the requests in hand and return from :meth:`run`."""
        end_streams(self._app)
        self._server.should_exit = True

    async def run(self) -> None:
        """Serve until :meth:`stop`. Raises ``OSError`` when the address cannot be bound."""
        settings = self._context.settings
        host, port = settings.host, settings.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family, backlog=1024) as listener:
            self.port = listener.getsockname()[1]
            # Connections inherit it. asyncio sets it only on sockets that name their protocol, which this one does
            # not: the kernel would hold the body of an answer back until its head is acknowledged, up to 40 ms.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Connections of its own, which give up slow statements: stations do not wait behind requests.
            async with Database(settings, statement_seconds=settings.request_seconds, all_open=True) as database:
                self._app.state.context = replace(self._context, database=database)
                closing = asyncio.create_task(close_slow(lambda: self._server.server_state.connections))
                log.info("listening", url=f"http://{host}:{self.port}")
                try:
                    await self._server.serve(sockets=[listener])
                finally:
                    closing.cancel()
                    await asyncio.gather(closing, return_exceptions=True)
                    await close_freshness(self._app)
