"""The cookie of a browser's session: what it is called, who may send it with what."""

from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request, Response

from streams.runtime.http.errors import ApiError

PLAIN: Final = "tidewatch_session"
SECURE: Final = "__Host-tidewatch_session"
"""Behind TLS: with this prefix browsers take it only from this host, over TLS, for every path."""
_SAFE: Final = ("GET", "HEAD")
_MAX_LENGTH: Final = 128


def session_token(request: Request) -> str | None:
    """The session in the request's cookies; behind TLS the one set behind TLS."""
    name = SECURE if _encrypted(request) else PLAIN
    token = request.cookies.get(name)
    return token if token and len(token) <= _MAX_LENGTH else None


def set_session(request: Request, response: Response, token: str, expires_at: datetime) -> None:
    """Give the browser its session. No script reads it, and no other site's page makes the browser send it."""
    secure = _encrypted(request)
    response.set_cookie(
        SECURE if secure else PLAIN,
        token,
        expires=expires_at,
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def clear_session(request: Request, response: Response) -> None:
    """Take it back."""
    secure = _encrypted(request)
    response.delete_cookie(SECURE if secure else PLAIN, path="/", secure=secure, httponly=True, samesite="strict")


def check_same_origin(request: Request) -> None:
    """Raises 403 where a request by cookie may come from a page that is not ours.

    ``SameSite=Strict`` keeps the cookie from other sites already; pages of a sibling host are of the same site,
    and a browser says of every request that changes something where it is from.
    """
    fetched_from = request.headers.get("sec-fetch-site")
    if fetched_from is not None:
        # "none": typed into the address bar.
        allowed = fetched_from == "same-origin" or (fetched_from == "none" and request.method in _SAFE)
    elif (origin := request.headers.get("origin")) is not None:
        allowed = urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
    else:
        allowed = request.method in _SAFE
    if not allowed:
        raise ApiError(403, "A session is used only by pages of this server; send a key instead")


def _encrypted(request: Request) -> bool:
    return request.url.scheme == "https"
