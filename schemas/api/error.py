"""The envelope of every error (contract 1.3)."""

from schemas.api.base import ApiResponse, JsonObject


class ErrorDetail(ApiResponse):
    """What went wrong. ``details`` of a 422: ``{"validation_errors": [{type, location, message}]}``."""

    message: str
    type: str
    code: str | None
    details: JsonObject | None


class ErrorResponse(ApiResponse):
    """``ErrorResponse``."""

    success: bool
    status: int
    error: ErrorDetail
