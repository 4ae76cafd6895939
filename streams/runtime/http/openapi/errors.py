"""The errors of the API as responses of the document (contract 1.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from schemas.api.error import ErrorResponse


@dataclass(frozen=True, slots=True)
class _Error:
    """One status: the name of its response, when it is answered, and an example."""

    name: str
    when: str
    type: str
    message: str
    details: Mapping[str, Any] | None = None


_ERRORS: Final[Mapping[int, _Error]] = {
    400: _Error(
        "BadRequest",
        "What is given as a cursor or a position is none, or an option is not one of this list.",
        "BadRequestError",
        "The cursor is not one this server gave out",
    ),
    401: _Error(
        "Unauthorized",
        "The key is missing or unknown.",
        "UnauthorizedError",
        "Send your API key as 'Authorization: Bearer sk_…'",
    ),
    403: _Error(
        "Forbidden",
        "The key has not the scope, or what is asked for is not enabled on this server.",
        "ForbiddenError",
        "This key has no 'write' scope",
    ),
    404: _Error(
        "NotFound",
        "Something that is named is not there, or not for this key.",
        "NotFoundError",
        "Alert not found: alt_unknown",
        {"resource": "alert", "id": "alt_unknown"},
    ),
    408: _Error(
        "RequestTimeout",
        "The request did not arrive in the time that the server waits.",
        "TimeoutError",
        "The request did not arrive within 30 seconds",
    ),
    409: _Error(
        "Conflict",
        "The name is in use, parts of the request contradict each other, or how things stand speaks against it.",
        "AlreadyExistsError",
        "There is an alert with this name: ebola",
    ),
    413: _Error(
        "TooLarge",
        "The body is larger than the server is willing to hold.",
        "BadRequestError",
        "The request body is larger than 8388608 bytes",
    ),
    422: _Error(
        "Invalid",
        "The request is not valid; `details.validation_errors` says where.",
        "ValidationError",
        "body.name: Field required",
        {"validation_errors": [{"type": "missing", "location": ["body", "name"], "message": "Field required"}]},
    ),
    429: _Error(
        "TooManyRequests",
        "The key has asked too often; `Retry-After` says when to ask again.",
        "TooManyRequestsError",
        "Too many requests; try again in 2 s",
        {"api_name": "alerts", "retryable": True, "retry_after_seconds": 2},
    ),
    500: _Error(
        "InternalError",
        "The server failed.",
        "InternalServerError",
        "Internal error; the server's log has the details",
    ),
    503: _Error(
        "Unavailable",
        "Something the server stands on does not answer; `Retry-After` says when to ask again.",
        "ServiceUnavailableError",
        "The database does not answer; try again",
        {"retryable": True, "retry_after_seconds": 2},
    ),
    504: _Error(
        "Timeout",
        "The request took longer than the server allows, and was given up.",
        "TimeoutError",
        "The request took longer than 30 seconds and was given up; ask for less",
        {"retryable": False},
    ),
}
SCHEMA: Final = ErrorResponse.__name__
RETRY_AFTER: Final = "Retry-After"
_WAITING: Final = (429, 503)


def reference(status: int) -> dict[str, str]:
    """The response of an error, for an operation."""
    return {"$ref": f"#/components/responses/{_ERRORS[status].name}"}


def responses(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The component responses of every error; ``headers`` are those of every answer."""
    return {error.name: _response(status, error, headers) for status, error in _ERRORS.items()}


def _response(status: int, error: _Error, headers: Mapping[str, Any]) -> dict[str, Any]:
    body = {
        "success": False,
        "status": status,
        "error": {
            "message": error.message,
            "type": error.type,
            "code": None,
            "details": None if error.details is None else dict(error.details),
        },
    }
    waiting = {RETRY_AFTER: {"$ref": f"#/components/headers/{RETRY_AFTER}"}} if status in _WAITING else {}
    return {
        "description": error.when,
        "headers": {**headers, **waiting},
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{SCHEMA}"}, "example": body}},
    }
