"""The HTTP service: one application from the routers of query and api, and the agent that serves it."""

import contextlib
import socket
from collections.abc import Iterator

import structlog
import uvicorn
from fastapi import FastAPI

from streams.api.routes import routers as api_routers
from streams.query.routes import routers as query_routers
from streams.runtime.agent import Context
from streams.runtime.http import health
from streams.runtime.http.body_limit import BodyLimit
from streams.runtime.http.errors import install_error_handlers
from streams.runtime.http.openapi.document import install_openapi
from streams.runtime.http.request_id import RequestIds

log = structlog.get_logger(__name__)


def build_http(context: Context) -> FastAPI:
    """The application. Query's literal routes come before api's ``{identifier}`` routes (contract 1.1)."""
    # The document is our own; the pages that FastAPI has for it are scripts from elsewhere.
    app = FastAPI(title="Tidewatch", openapi_url=None, redirect_slashes=False)
    app.state.context = context
    install_error_handlers(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(RequestIds)
    for router in (health.router, *query_routers(), *api_routers()):
        app.include_router(router)
    install_openapi(app)
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
        self._settings = context.settings
        config = uvicorn.Config(
            app,
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
        self._server.should_exit = True

    async def run(self) -> None:
        """Serve until :meth:`stop`. Raises ``OSError`` when the address cannot be bound."""
        host, port = self._settings.host, self._settings.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family, backlog=1024) as listener:
            self.port = listener.getsockname()[1]
            log.info("listening", url=f"http://{host}:{self.port}")
            await self._server.serve(sockets=[listener])
