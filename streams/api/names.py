"""Names of resources: which are refused, and how a missing one is said. Pure."""

from schemas.api.names import RESERVED
from schemas.events.definition import Kind
from streams.runtime.http.errors import ApiError, invalid


def check_name(kind: str, name: str, field: str) -> None:
    """Refuse a name that no path could carry. Raises 422."""
    if "/" in name:
        raise invalid("A name must not contain '/'", "body", field)
    if name in (".", "..") or name != name.strip():
        raise invalid("A name must not be '.', '..' or begin or end with a space", "body", field)
    if kind == "document" and "\n" in name:
        # The paths of documents end at a line break.
        raise invalid("An id must not contain a line break", "body", field)
    if name in RESERVED.get(kind, ()):
        raise invalid(f"{name!r} is a word of the API and cannot name {_article(kind)} {kind}", "body", field)


def resource(kind: Kind) -> str:
    """What a kind is called in messages."""
    return kind.replace("_", " ")


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def taken(kind: Kind, name: str) -> ApiError:
    """409 for a name in use."""
    return ApiError(
        409,
        f"{_article(kind).capitalize()} {resource(kind)} named {name[:200]!r} exists already",
        details={"resource": resource(kind), "name": name[:200]},
    )


def not_enabled(what: str, available: str) -> ApiError:
    """403 for something of the contract this server does not do, naming what it does."""
    return ApiError(403, f"{what} is not available on this server. Available: {available}", type="NotEnabledError")
