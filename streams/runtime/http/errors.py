"""The error envelope of the wire contract (section 1.3): one exception, one shape, every status."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from psycopg_pool import PoolTimeout
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from schemas.api.base import CONFLICT
from streams.runtime.http.methods import allowed_methods

log = structlog.get_logger(__name__)

_RETRY_AFTER_SECONDS = 2
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)

_TYPES: Mapping[int, str] = {
    400: "BadRequestError",
    401: "UnauthorizedError",
    403: "ForbiddenError",
    404: "NotFoundError",
    405: "BadRequestError",
    408: "TimeoutError",
    409: "AlreadyExistsError",
    413: "BadRequestError",
    422: "ValidationError",
    429: "TooManyRequestsError",
    500: "InternalServerError",
    503: "InferenceServiceUnavailableError",
}


class ApiError(Exception):
    """An answer that is not a success. ``type`` follows from the status unless given."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        type: str | None = None,  # noqa: A002
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details
        self.type = type or _TYPES.get(status, "InternalServerError")
        self.headers = headers


def not_found(resource: str, identifier: str) -> ApiError:
    """404 for an unknown id or name."""
    return ApiError(
        404,
        f"{resource.capitalize()} not found: {identifier[:200]}",
        details={"resource": resource, "id": identifier[:200]},
    )


def invalid(message: str, *location: str | int, kind: str = "value_error") -> ApiError:
    """422 for a value that parses but is wrong in its domain."""
    problem = {"type": kind, "location": list(location), "message": message}
    return ApiError(422, message, details={"validation_errors": [problem]})


def conflict(message: str, *location: str | int, details: Mapping[str, Any] | None = None) -> ApiError:
    """409 for a request that says what it may say, and that the state of things, or another part of it, speaks
    against: what no schema can tell. ``location`` is the part that would have to change."""
    problem = {"type": CONFLICT, "location": list(location), "message": message}
    told = {"validation_errors": [problem]} if location else {}
    return ApiError(409, message, details={**told, **(details or {})} or None, type="ConflictError")


def refused(error: ValidationError, *location: str | int) -> ApiError:
    """422 for the first problem of a part that stands at ``location``, or 409 for a conflict."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = (*location, *first["loc"])
    return (conflict if first["type"] == CONFLICT else invalid)(first["msg"], *where)


def envelope(error: ApiError) -> Response:
    """The response of an error."""
    body = {
        "success": False,
        "status": error.status,
        "error": {"message": error.message, "type": error.type, "code": None, "details": error.details},
    }
    return Response(orjson.dumps(body), error.status, dict(error.headers or {}), "application/json")


def validation_envelope(errors: Sequence[Mapping[str, Any]]) -> Response:
    """422 from pydantic's list of errors; never echoes the input."""
    problems = [
        {"type": item["type"], "location": list(item["loc"]), "message": item["msg"]} for item in errors[:50]
    ]
    where = ".".join(str(part) for part in problems[0]["location"]) if problems else "request"
    what = problems[0]["message"] if problems else "invalid"
    return envelope(ApiError(422, f"{where}: {what}", details={"validation_errors": problems}))


def error_response(path: str, error: Exception) -> Response:
    """What is answered where a request failed in a way that no route foresaw; logged, but for what was meant for
    the caller."""
    if isinstance(error, ApiError):
        return envelope(error)
    if isinstance(error, psycopg.errors.QueryCanceled):
        log.warning("query_timed_out", path=path)
        return envelope(timed_out("A query of the request took too long and was given up; ask for less"))
    if isinstance(error, _AWAY):
        log.warning("database_away", path=path, error=repr(error))
        return envelope(come_again("The database does not answer; try again", _RETRY_AFTER_SECONDS))
    log.error("request_failed", path=path, error=repr(error), exc_info=error)
    return envelope(ApiError(500, "Internal error; the server's log has the details"))


def come_again(message: str, seconds: int) -> ApiError:
    """503 that a client tries again after ``seconds``."""
    details = {"retryable": True, "retry_after_seconds": seconds}
    headers = {"Retry-After": str(seconds)}
    return ApiError(503, message, details=details, type="ServiceUnavailableError", headers=headers)


def timed_out(message: str) -> ApiError:
    """504 that a client does not try again: the same would take as long."""
    return ApiError(504, message, details={"retryable": False}, type="TimeoutError")


def install_error_handlers(app: FastAPI) -> None:
    """Give every error of ``app`` the envelope."""

    async def on_api_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        return envelope(error)

    async def on_validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        problems = error.errors()
        if all(item["type"] == CONFLICT for item in problems):
            return envelope(conflict(str(problems[0]["msg"]), *problems[0]["loc"]))
        return validation_envelope(problems)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = error.headers
        if error.status_code == 405:
            headers = {"Allow": ", ".join(allowed_methods(app, request.url.path))}
        return envelope(ApiError(error.status_code, str(error.detail), headers=headers))

    async def on_other(request: Request, error: Exception) -> Response:
        return error_response(request.url.path, error)

    for away in _AWAY:
        app.add_exception_handler(away, on_other)
    app.add_exception_handler(ApiError, on_api_error)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_other)
