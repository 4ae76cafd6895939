"""Who asks, and in which namespace (contract 1.2).

Routes take ``access: Access`` (a FastAPI dependency): a valid key, and the namespace the request works in.
"""

import hmac
import re
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request

from streams.runtime.agent import Context
from streams.runtime.definitions import find_definition
from streams.runtime.http.errors import ApiError, not_found
from streams.runtime.keys import SCOPES, digest, find_key

MAX_IDENTIFIER_LENGTH: Final = 1_024
"""Nothing has a longer id or name."""
_RESOURCE: Final = re.compile("_(id|identifier)$")


@dataclass(frozen=True, slots=True)
class Caller:
    """A key that was accepted. ``namespace_ids`` is ``None`` for every namespace."""

    key_id: str
    namespace_ids: tuple[str, ...] | None
    scopes: frozenset[str]

    def may_enter(self, namespace_id: str) -> bool:
        """Whether the key reaches a namespace."""
        return self.namespace_ids is None or namespace_id in self.namespace_ids


@dataclass(frozen=True, slots=True)
class Access:
    """A caller inside one namespace."""

    caller: Caller
    namespace_id: str
    internal_id: str


def context(request: Request) -> Context:
    """The process's context, put on the application when it was built."""
    found = request.app.state.context
    assert isinstance(found, Context)
    return found


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise ApiError(
            401, "Send your API key as 'Authorization: Bearer sk_…'", headers={"WWW-Authenticate": "Bearer"}
        )
    return token.strip()


async def authenticate(request: Request) -> Caller:
    """The caller of a request. Raises 401."""
    token = _bearer(request)
    here = context(request)
    configured = here.settings.api_key
    # compare_digest on hashes: constant time whatever the lengths.
    if configured is not None and hmac.compare_digest(digest(token), digest(configured.get_secret_value())):
        return Caller("configured", None, frozenset(SCOPES))
    async with here.database.connection() as connection:
        key = await find_key(connection, token)
    if key is None:
        raise ApiError(401, "Unknown or revoked API key", headers={"WWW-Authenticate": "Bearer"})
    namespaces = None if key.namespace_ids is None else tuple(key.namespace_ids)
    return Caller(key.key_id, namespaces, frozenset(key.scopes))


async def authorize(request: Request) -> Caller:
    """The caller, who must have the scope the method needs. Raises 401 or 403."""
    caller = await authenticate(request)
    _check_text(request)
    reading = request.method in ("GET", "HEAD") or (request.method == "POST" and _only_reads(request.url.path))
    needed = "read" if reading else "write"
    if needed not in caller.scopes:
        raise ApiError(403, f"This key has no '{needed}' scope")
    return caller


def _only_reads(path: str) -> bool:
    """Whether a POST changes nothing: it asks with a body."""
    return path.endswith(("/list", "/history", "/explain")) or (
        path.startswith("/v1/retrievers/") and path.endswith(("/execute", "/execute/batch"))
    )


def _check_text(request: Request) -> None:
    """Refuse text that names nothing: 404 in the path, 400 in the query. PostgreSQL has no NUL in any text."""
    for name, value in request.path_params.items():
        if "\x00" in value or len(value) > MAX_IDENTIFIER_LENGTH:
            raise not_found(_RESOURCE.sub("", name).replace("_", " "), value)
    for name, value in request.query_params.multi_items():
        if "\x00" in name or "\x00" in value:
            raise ApiError(400, "A query parameter must not contain a NUL character")


async def enter_namespace(request: Request, caller: Annotated[Caller, Depends(authorize)]) -> Access:
    """The namespace of a request: ``X-Namespace`` (name or id), else ``?namespace=``, else the default."""
    here = context(request)
    wanted = request.headers.get("x-namespace") or request.query_params.get("namespace") or here.settings.namespace
    if "\x00" in wanted or len(wanted) > MAX_IDENTIFIER_LENGTH:
        raise not_found("namespace", wanted)
    async with here.database.connection() as connection:
        found = await find_definition(connection, "namespace", "", wanted)
        row = await (await connection.execute("SELECT internal_id FROM stream_identity")).fetchone()
    # A namespace the key does not reach answers like one that is not there.
    if found is None or row is None or not caller.may_enter(found.record.id):
        raise not_found("namespace", wanted)
    return Access(caller, found.record.id, row[0])


CallerDep = Annotated[Caller, Depends(authorize)]
AccessDep = Annotated[Access, Depends(enter_namespace)]
ContextDep = Annotated[Context, Depends(context)]
