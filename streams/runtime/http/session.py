"""``/v1/session``: a browser changes its key for a cookie, so that ``EventSource``, which sends no header, needs
no key in an address."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict

from schemas.times import format_instant
from streams.runtime.http.access import Caller, ContextDep, authenticate, bearer, known_keys
from streams.runtime.http.cookies import clear_session, session_token, set_session
from streams.runtime.http.errors import ApiError
from streams.runtime.keys import close_session, open_session

router = APIRouter(prefix="/v1/session", tags=["session"])

AuthenticatedDep = Annotated[Caller, Depends(authenticate)]


class SessionResponse(BaseModel):
    """Whose session it is and what it may do."""

    model_config = ConfigDict(frozen=True)

    key_id: str
    scopes: list[str]
    namespace_ids: list[str] | None
    """``None``: every namespace."""
    expires_at: str | None
    """When the session ends, or the key; ``None`` for a key without end."""


class ClosedResponse(BaseModel):
    """That nobody is logged in any more."""

    model_config = ConfigDict(frozen=True)

    success: bool = True


def _described(caller: Caller) -> SessionResponse:
    return SessionResponse(
        key_id=caller.key_id,
        scopes=sorted(caller.scopes),
        namespace_ids=None if caller.namespace_ids is None else list(caller.namespace_ids),
        expires_at=None if caller.expires_at is None else format_instant(caller.expires_at),
    )


@router.post("")
async def log_in(
    request: Request, caller: AuthenticatedDep, context: ContextDep, response: Response
) -> SessionResponse:
    """Open a session for the key in ``Authorization``, in a cookie that scripts cannot read. It ends with the key,
    by logging out, or after ``TIDEWATCH_SESSION_HOURS``."""
    if bearer(request) is None:
        raise ApiError(401, "Log in with a key: send it as 'Authorization: Bearer sk_…'")
    lasts = timedelta(hours=context.settings.session_hours)
    async with context.database.connection() as connection:
        token, expires_at = await open_session(connection, caller.secret_digest, lasts)
    ends = expires_at if caller.expires_at is None else min(expires_at, caller.expires_at)
    set_session(request, response, token, ends)
    answer = _described(caller)
    return answer.model_copy(update={"expires_at": format_instant(ends)})


@router.get("")
async def who_am_i(caller: AuthenticatedDep) -> SessionResponse:
    """The key of this request, or of its session."""
    return _described(caller)


@router.delete("")
async def log_out(
    request: Request, caller: AuthenticatedDep, context: ContextDep, response: Response
) -> ClosedResponse:
    """End the session of the cookie."""
    token = session_token(request)
    if token is not None:
        async with context.database.connection() as connection:
            await close_session(connection, token)
        known_keys(request).forget_session(token)
        clear_session(request, response)
    return ClosedResponse()
