"""Query vectors against the vector indexes that stored collections declare (contract 4.4)."""

from collections.abc import Sequence

from schemas.api.base import JsonObject
from schemas.api.collection import dimensions
from streams.engines.retrieval.execution.sizes import QuerySize, SizeError, check_sizes, query_sizes
from streams.runtime.database import Connection
from streams.runtime.definitions import select_definitions
from streams.runtime.http.errors import invalid


async def declared_sizes(
    connection: Connection, namespace_id: str, queries: Sequence[QuerySize]
) -> dict[str, dict[str, int]]:
    """By collection the indexes it declares, of those that some query searches."""
    if not queries:
        return {}
    named = {name for query in queries for name in query.collections or ()}
    rows = await select_definitions(
        connection,
        "d.kind = 'collection' AND d.namespace_id = %(namespace)s AND (%(every)s OR d.id = ANY(%(named)s))"
        " AND d.body #> '{feature_extractor,parameters,vector_fields}' IS NOT NULL",
        {
            "namespace": namespace_id,
            "every": any(query.collections is None for query in queries),
            "named": sorted(named),
        },
    )
    return {row.record.id: dimensions(row.body["feature_extractor"]) for row in rows}


async def refuse_wrong_sizes(connection: Connection, namespace_id: str, retriever: JsonObject) -> None:
    """Raises 422 for a query vector of a retriever that does not fit the collections it searches."""
    queries = list(query_sizes(retriever))
    try:
        check_sizes(queries, await declared_sizes(connection, namespace_id, queries))
    except SizeError as error:
        raise invalid(str(error), "body", *error.path) from error
