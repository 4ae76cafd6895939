"""What a retriever asks and searches, as the database has it: nothing unknown, and never itself (contract 4.5)."""

from collections.abc import Sequence

from schemas.api.base import JsonObject
from schemas.api.named import NamedIn, named_by_stages, named_by_taxonomy
from schemas.events.definition import DefinitionRecord
from streams.api.collections import vector_indexes
from streams.api.names import resource
from streams.api.stages import check_features
from streams.runtime.database import Connection
from streams.runtime.definitions import find_definition, select_definitions
from streams.runtime.http.errors import invalid


async def refuse_circle(connection: Connection, retriever: DefinitionRecord, stages: Sequence[JsonObject]) -> None:
    """Raises 422 when a retriever with these stages would run itself, directly or through taxonomies and other
    retrievers. ``stages`` name others by id."""
    seen: set[tuple[str, str]] = set()
    for index, stage in enumerate(stages):
        start = f"retriever {retriever.name!r}"
        waiting: list[tuple[NamedIn, tuple[str, ...], str]] = [
            (place, (start,), place.key) for place in named_by_stages([stage])
        ]
        while waiting:
            place, path, key = waiting.pop(0)
            for identifier in () if place.kind == "collection" else place.names:
                if place.kind == "retriever" and identifier == retriever.id:
                    raise invalid(
                        f"stage {stage['stage_name']}: the retriever would run itself without end:"
                        f" {' → '.join((*path, start))}; let one of them ask another",
                        *("body", "stages", index, "config", "parameters", key),
                    )
                if (place.kind, identifier) in seen:
                    continue
                seen.add((place.kind, identifier))
                found = await find_definition(connection, place.kind, retriever.namespace_id, identifier)
                if found is not None:
                    step = f"{resource(place.kind)} {found.record.name!r}"
                    waiting += [(inner, (*path, step), key) for inner in _named(found.record)]


def _named(record: DefinitionRecord) -> list[NamedIn]:
    body = record.body or {}
    if record.kind == "taxonomy":
        return list(named_by_taxonomy(body["config"]))
    return list(named_by_stages(body["stages"]))


async def refuse_unknown_features(connection: Connection, namespace_id: str, retriever: JsonObject) -> None:
    """Raises 422 for a search over collections that all declare their vector indexes, of which none is meant."""
    found = await select_definitions(
        connection, "d.namespace_id = %(namespace)s AND d.kind = 'collection'", {"namespace": namespace_id}
    )
    check_features(
        retriever,
        {one.record.id: [str(index["feature_uri"]) for index in vector_indexes(one.body)] for one in found},
    )
