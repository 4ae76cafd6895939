"""What an action's config names, as it stands when the action runs."""

from collections.abc import Mapping
from typing import Any

from schemas.events.definition import Kind
from streams.act.failures import ActionError
from streams.engines.retrieval.errors import FilterError
from streams.engines.retrieval.filters.parse import Filter, parse_filter
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition, find_definition


async def needed(connection: Connection, kind: Kind, namespace_id: str, identifier: object) -> StoredDefinition:
    """A definition by id or name. Raises :class:`ActionError` when it is gone."""
    found = None
    if isinstance(identifier, str):
        found = await find_definition(connection, kind, namespace_id, identifier)
    if found is None:
        raise ActionError(f"{kind} {identifier} does not exist; change the trigger, or delete it")
    return found


async def written_to(connection: Connection, namespace_id: str, identifier: object) -> str:
    """The id of a collection that documents may be written to. Raises :class:`ActionError`."""
    found = await needed(connection, "collection", namespace_id, identifier)
    if not found.body.get("enabled", True):
        raise ActionError(f"collection {found.record.id} is disabled; enable it to have documents written to it")
    return found.record.id


def filter_of(config: Mapping[str, Any], *names: str) -> Filter | None:
    """The filters of these keys of a config, all of which must hold; one may stand below ``filters``. Raises
    :class:`ActionError` for one that cannot be read."""
    parts: list[Any] = []
    for name in names:
        raw = config.get(name)
        if isinstance(raw, Mapping) and set(raw) == {"filters"}:
            raw = raw["filters"]
        if raw:
            parts.append(raw)
    if not parts:
        return None
    try:
        return parse_filter(parts[0] if len(parts) == 1 else {"AND": parts})
    except FilterError as error:
        raise ActionError(f"{' and '.join(names)}: {error}") from error
