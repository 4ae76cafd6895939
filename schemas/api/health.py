"""Health (contract 2.10)."""

from typing import Literal

from schemas.api.base import ApiResponse


class HealthResponse(ApiResponse):
    """The process answers."""

    status: Literal["OK"]


class HealthData(ApiResponse):
    """By the vendor's names whether what the service stands on answers."""

    cache: bool
    metadata: bool
    vector_store: bool
    object_storage: bool
    task_queue: bool
    inference: bool
    analytics: bool


class HealthErrors(ApiResponse):
    """By the same names what is wrong."""

    cache: str | None = None
    metadata: str | None = None
    vector_store: str | None = None
    object_storage: str | None = None
    task_queue: str | None = None
    inference: str | None = None
    analytics: str | None = None


class HealthMeta(ApiResponse):
    """The version of the definitions."""

    definitions_version: str | None


class DeepHealthResponse(ApiResponse):
    """Whether what the service stands on answers."""

    status: Literal["OK", "DEGRADED"]
    data: HealthData
    errors: HealthErrors | None
    meta: HealthMeta
