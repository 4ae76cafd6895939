"""The table of endpoints: what the application serves and refuses beside what the SDK can call.

``python -m tests.api.sdk.endpoints`` writes docs/endpoints.md anew.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import mixpeek.api
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from streams.api.refused import AREAS, ENDPOINTS
from streams.http_app import build_http
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.database import Database
from streams.settings import Settings

TABLE: Final = Path(__file__).parents[3] / "docs" / "endpoints.md"
_CALL: Final = re.compile(r"method='(\w+)',\s+resource_path='([^']+)'")
_NAMED: Final = re.compile(r"\{[^}]*\}")

HEAD: Final = """# Endpoints

Every endpoint of this server, and every one that the official SDK (`mixpeek`) can call. A test compares this page
with the application and with the SDK, and calls each SDK method of the first table against a running server.
`python -m tests.api.sdk.endpoints` writes it anew.
"""


class Endpoint(NamedTuple):
    """A method and a path, ``{}`` for what is named in it."""

    path: str
    method: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def endpoint(method: str, path: str) -> Endpoint:
    """An endpoint, whatever its parameters are called."""
    return Endpoint(_NAMED.sub("{}", path), method)


def sdk_methods() -> dict[Endpoint, list[str]]:
    """What each method of the SDK's generated classes calls, read from their source."""
    found: dict[Endpoint, list[str]] = {}
    for class_name, cls in inspect.getmembers(mixpeek.api, inspect.isclass):
        for name, member in inspect.getmembers(cls, inspect.isfunction):
            if name.endswith("_serialize") and (call := _CALL.search(inspect.getsource(member))):
                method = f"{class_name}.{name[1:].removesuffix('_serialize')}"
                found.setdefault(endpoint(*call.groups()), []).append(method)
    return found


def served(app: FastAPI) -> dict[Endpoint, str]:
    """The endpoints under ``/v1`` that do something, with what their documentation begins with."""
    return {
        endpoint(method, route.path or ""): (inspect.getdoc(route.original_route.endpoint) or "")
        .split("\n\n")[0]
        .replace("\n", " ")
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute) and (route.path or "").startswith("/v1/")
        for method in sorted(route.original_route.methods or ())
    }


def reason(wanted: Endpoint) -> str | None:
    """Why an endpoint is refused, or ``None`` when it is not."""
    if (found := ENDPOINTS.get(str(wanted))) is not None:
        return found
    return next((why for area, why in AREAS.items() if within(wanted, area)), None)


def within(wanted: Endpoint, area: str) -> bool:
    """Whether a path begins like an area."""
    return f"{wanted.path}/".startswith(f"{area}/")


def table(app: FastAPI) -> str:
    """The page."""
    return "\n".join([HEAD, *_rows(app), ""])


def _rows(app: FastAPI) -> Iterator[str]:
    sdk, working = sdk_methods(), served(app)
    yield from ("## Works", "", "| Endpoint | SDK | |", "|---|---|---|")
    for item in sorted(working):
        methods = ", ".join(f"`{name}`" for name in sdk.get(item, ())) or "extension"
        yield f"| `{item}` | {methods} | {working[item].partition('. ')[0].rstrip('.')} |"
    yield from ("", "## Refused", "", "403 `NotEnabledError`.", "", "| Endpoint | SDK | Why |", "|---|---|---|")
    for item in sorted({*sdk, *(endpoint(*name.split(" ", 1)) for name in ENDPOINTS)} - set(working)):
        methods = ", ".join(f"`{name}`" for name in sdk.get(item, ())) or "-"
        yield f"| `{item}` | {methods} | {reason(item)} |"


def application() -> FastAPI:
    """The application, which nobody calls."""
    settings = Settings()
    return build_http(Context(settings, Broker(settings), Database(settings)))


if __name__ == "__main__":
    TABLE.write_text(table(application()))
