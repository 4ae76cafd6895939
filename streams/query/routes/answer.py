"""What every read route does: look a definition up, answer with JSON."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from schemas.events.definition import Kind
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition, find_definition
from streams.runtime.http.errors import not_found


async def known(connection: Connection, kind: Kind, namespace_id: str, identifier: str) -> StoredDefinition:
    """A definition by id or name. Raises 404."""
    found = await find_definition(connection, kind, namespace_id, identifier)
    if found is None:
        raise not_found(kind.replace("cluster_trigger", "trigger"), identifier)
    return found


def answer(body: Mapping[str, Any]) -> Response:
    """200 with ``body``."""
    return Response(orjson.dumps(body), media_type="application/json")
