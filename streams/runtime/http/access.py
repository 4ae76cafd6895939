"""Who asks, and in which namespace (contract 1.2).

Routes take ``access: Access`` (a FastAPI dependency): a valid key, and the namespace the request works in. The key
is that of the header ``Authorization``, or of a browser's session cookie (:mod:`streams.runtime.http.session`).
"""

import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import Depends, Request

from streams.runtime.agent import Context
from streams.runtime.definitions import ask_definition, read_definition
from streams.runtime.http.application import one_of
from streams.runtime.http.cookies import check_same_origin, session_token
from streams.runtime.http.errors import ApiError, not_found
from streams.runtime.keys import SCOPES, KnownKeys, digest

MAX_IDENTIFIER_LENGTH: Final = 1_024
"""Nothing has a longer id or name."""
_RESOURCE: Final = re.compile("_(id|identifier)$")
_ASKING: Final = (
    "/list",
    "/list/batch",
    "/history",
    "/explain",
    "/batch-get",
    "/aggregate",
    "/distinct",
    "/typeahead",
)
_ANSWERING: Final = re.compile(r"/v1/(retrievers/(.+/)?execute(/batch)?|taxonomies/(.+/execute|execute/.+))")
"""Runs of retrievers and taxonomies answer, and write no document."""
_CALLER: Final = "tidewatch_caller"
_CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class Caller:
    """A key that was accepted. ``namespace_ids`` is ``None`` for every namespace."""

    key_id: str
    namespace_ids: tuple[str, ...] | None
    scopes: frozenset[str]
    secret_digest: bytes = b""
    """Of the secret that was sent, or that a session was opened with."""
    expires_at: datetime | None = None
    """When the key ends, or the session."""

    def may_enter(self, namespace_id: str) -> bool:
        """Whether the key reaches a namespace."""
        return self.namespace_ids is None or namespace_id in self.namespace_ids

    def require(self, scope: str) -> None:
        """Raises 403 where the key has not the scope."""
        if scope not in self.scopes:
            raise ApiError(403, f"This key has no '{scope}' scope")

    def require_server(self) -> None:
        """Raises 403 where the key may not work on the server itself: what belongs to no single namespace takes
        the scope ``admin`` and a key that is not restricted to namespaces."""
        self.require("admin")
        if self.namespace_ids is not None:
            raise ApiError(403, "This key is restricted to its namespaces")


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


async def given_context(request: Request) -> Context:
    """:func:`context` as a dependency. What is no coroutine FastAPI runs in a thread, and waits for it."""
    return context(request)


def known_keys(request: Request) -> KnownKeys:
    """The keys this application has seen; it remembers them as long as it lives."""
    return one_of(request.app, KnownKeys, lambda: KnownKeys(context(request).database))


def bearer(request: Request) -> str | None:
    """The key in ``Authorization``; ``None`` without that header. Raises 401 for another scheme."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unauthorized()
    return token.strip()


def _unauthorized() -> ApiError:
    return ApiError(401, "Send your API key as 'Authorization: Bearer sk_…'", headers=_CHALLENGE)


async def authenticate(request: Request) -> Caller:
    """The caller of a request, found once. Raises 401."""
    state = request.scope.setdefault("state", {})
    if _CALLER not in state:
        state[_CALLER] = await _authenticated(request)
    caller = state[_CALLER]
    assert isinstance(caller, Caller)
    return caller


async def _authenticated(request: Request) -> Caller:
    token = bearer(request)
    if token is not None:
        caller = await caller_of(request, digest(token))
        if caller is None:
            raise ApiError(401, "Unknown or revoked API key", headers=_CHALLENGE)
        return caller
    cookie = session_token(request)
    if cookie is None:
        raise _unauthorized()
    session = await known_keys(request).session(cookie)
    caller = None if session is None else await caller_of(request, session.secret_digest, session.expires_at)
    if caller is None:
        raise ApiError(401, "The session has ended; log in again", headers=_CHALLENGE)
    # A browser sends its cookie whoever made it send the request.
    check_same_origin(request)
    return caller


async def caller_of(request: Request, secret_digest: bytes, session_ends: datetime | None = None) -> Caller | None:
    """Whose secret has this digest, if it is valid."""
    configured = context(request).settings.api_key
    # compare_digest on hashes: constant time whatever the lengths.
    if configured is not None and hmac.compare_digest(secret_digest, digest(configured.get_secret_value())):
        return Caller("configured", None, frozenset(SCOPES), secret_digest, session_ends)
    key = await known_keys(request).key(secret_digest)
    if key is None:
        return None
    namespaces = None if key.namespace_ids is None else tuple(key.namespace_ids)
    ends = min((end for end in (key.expires_at, session_ends) if end is not None), default=None)
    return Caller(key.key_id, namespaces, frozenset(key.scopes), secret_digest, ends)


async def authorize(request: Request) -> Caller:
    """The caller, who must have the scope the method needs. Raises 401 or 403."""
    caller = await authenticate(request)
    _check_text(request)
    route = request.scope.get("route")
    # The route's own words: a document may be called "list".
    path = getattr(route, "path", request.url.path)
    caller.require("read" if only_reads(request.method, path) else "write")
    return caller


async def administer(request: Request) -> Caller:
    """The caller, who must be one for the server itself (:meth:`Caller.require_server`), besides having the scope
    the method needs. Raises 401 or 403."""
    caller = await authorize(request)
    caller.require_server()
    return caller


def only_reads(method: str, path: str) -> bool:
    """Whether a request to a route changes nothing: a GET, or a POST that asks with a body."""
    if method != "POST":
        return method in ("GET", "HEAD")
    return path.endswith(_ASKING) or _ANSWERING.fullmatch(path) is not None


def _check_text(request: Request) -> None:
    """Refuse text that names nothing: 404 in the path, 400 in the query. PostgreSQL has no NUL in any text."""
    for name, value in request.path_params.items():
        if "\x00" in value or len(value) > MAX_IDENTIFIER_LENGTH:
            raise not_found(_RESOURCE.sub("", name).replace("_", " "), value)
    for name, value in request.query_params.multi_items():
        if "\x00" in name or "\x00" in value:
            raise ApiError(400, "A query parameter must not contain a NUL character")


async def wanted_namespace(request: Request) -> str:
    """What a request names its namespace by: ``X-Namespace`` (name or id), else ``?namespace=``, else the default.
    Raises 404 for what names none."""
    wanted = (
        request.headers.get("x-namespace")
        or request.query_params.get("namespace")
        or context(request).settings.namespace
    )
    if "\x00" in wanted or len(wanted) > MAX_IDENTIFIER_LENGTH:
        raise not_found("namespace", wanted)
    return wanted


async def enter_namespace(request: Request, caller: Annotated[Caller, Depends(authorize)]) -> Access:
    """The namespace that a request names. Raises 404 for one that is not there or that the key does not reach."""
    here = context(request)
    wanted = await wanted_namespace(request)
    async with here.database.connection() as connection:
        async with connection.pipeline():
            asked = await ask_definition(connection, "namespace", "", wanted)
            identity = await connection.execute("SELECT internal_id FROM stream_identity")
        found, row = await read_definition(asked), await identity.fetchone()
    # A namespace the key does not reach answers like one that is not there.
    if found is None or row is None or not caller.may_enter(found.record.id):
        raise not_found("namespace", wanted)
    return Access(caller, found.record.id, row[0])


CallerDep = Annotated[Caller, Depends(authorize)]
AccessDep = Annotated[Access, Depends(enter_namespace)]
ContextDep = Annotated[Context, Depends(given_context)]
