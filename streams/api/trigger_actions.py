"""What triggers run, against what there is: names become ids, and the collections an action is about are found."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from schemas.api.actions import LONGEST_CHAIN, NAMES, ActionType
from schemas.api.base import JsonObject
from schemas.api.channel import MASK, secret_places
from streams.api.attachments import collections_of_alert
from streams.api.clusters import check_filters
from streams.api.names import not_enabled
from streams.api.secrets import sealed
from streams.api.store import require
from streams.engines.retrieval.errors import InputError
from streams.engines.retrieval.execution.inputs import bind
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition
from streams.runtime.http.errors import conflict, invalid, not_found


def check_action(action_type: ActionType, config: JsonObject) -> None:
    """Refuse (403) what nothing here would do as asked, and (422) filters that cannot be read."""
    if config.get("include_buckets"):
        raise not_enabled("include_buckets", "include_collections; this server has no buckets")
    for channel in (config.get("notification_config") or {}).get("channels", ()):
        if channel["channel_type"] not in ("webhook", "slack"):
            raise not_enabled(f"Delivery of a run by {channel['channel_type']}", "webhook, slack")
        if (channel.get("config") or {}).get("payload_template"):
            raise not_enabled("payload_template of a run", "the payload of the events as it is")
    check_filters(config.get("filters"), "action_config", "filters")
    source = config.get("source_filters")
    if source is not None and set(source) == {"filters"}:
        check_filters(source["filters"], "action_config", "source_filters", "filters")
    else:
        check_filters(source, "action_config", "source_filters")


async def sealed_action(
    connection: Connection, context: Context, namespace_id: str, config: JsonObject
) -> JsonObject:
    """The config with the secrets of its channels stored and replaced by references. Raises 409 for a mask, of
    which a new trigger has no secret."""
    notified = config.get("notification_config")
    if not notified:
        return config
    for index, channel in enumerate(notified["channels"]):
        for holder, name in secret_places(channel):
            if holder[name] == MASK:
                where = ("body", "action_config", "notification_config", "channels", index, "config", name)
                raise conflict("This is how a stored secret is shown: send the secret itself", *where)
    key = context.settings.secret_key
    return {**config, "notification_config": await sealed(connection, key, namespace_id, notified)}


async def resolve_action(
    connection: Connection, namespace_id: str, action_type: str, config: JsonObject
) -> tuple[JsonObject, list[str]]:
    """The config with ids in place of names, and the collections whose documents the action is about: a trigger
    on events or conditions watches these when it names no collection of its own. Raises 404 for what is not
    there, and 422 for inputs a retriever does not take."""
    resolved, found = dict(config), dict[str, StoredDefinition]()
    for key, kind in NAMES.items():
        value = config.get(key)
        if isinstance(value, list):
            rows = [await require(connection, kind, namespace_id, name) for name in value]
            resolved[key] = list(dict.fromkeys(row.record.id for row in rows))
        elif value is not None:
            found[key] = await require(connection, kind, namespace_id, value)
            resolved[key] = found[key].record.id
    return resolved, list(dict.fromkeys(await _ABOUT[action_type](connection, namespace_id, resolved, found)))


Found = Mapping[str, StoredDefinition]


async def _cluster(_: Connection, __: str, config: JsonObject, found: Found) -> list[str]:
    ids: list[str] = (
        found["cluster_id"].body["collection_ids"]
        if "cluster_id" in found
        else config["execution_config"]["collection_ids"]
    )
    return ids


async def _taxonomy(_: Connection, __: str, config: JsonObject, ___: Found) -> list[str]:
    return [config["collection_id"]]


async def _batch(connection: Connection, namespace_id: str, config: JsonObject, _: Found) -> list[str]:
    """Those the run was about that is to be repeated. Raises 409 for a chain of reruns that is too long to run."""
    batch_id = config["batch_id"]
    for _link in range(LONGEST_CHAIN):
        cursor = await connection.execute(
            "SELECT command->>'action_type', command->'action_config' FROM jobs"
            " WHERE job_id = %s AND namespace_id = %s",
            (batch_id, namespace_id),
        )
        row = await cursor.fetchone()
        if row is None:
            raise not_found("batch", batch_id)
        if row[0] != "batch_rerun":
            return (await resolve_action(connection, namespace_id, *row))[1]
        batch_id = row[1]["batch_id"]
    raise conflict(
        f"The batch repeats over {LONGEST_CHAIN} others; name the first of them instead",
        *("body", "action_config", "batch_id"),
    )


async def _collection(connection: Connection, namespace_id: str, config: JsonObject, found: Found) -> list[str]:
    """What feeds the collection: those named, else the sources of its definition, else itself."""
    if config.get("include_collections"):
        return list(config["include_collections"])
    source = found["collection_id"].body["source"]
    named = [*(source.get("collection_ids") or ()), *filter(None, (source.get("collection_id"),))]
    rows = [await require(connection, "collection", namespace_id, name) for name in named]
    return [row.record.id for row in rows] or [config["collection_id"]]


async def _retriever(_: Connection, __: str, config: JsonObject, found: Found) -> list[str]:
    body = found["retriever_id"].body
    try:
        bind(body.get("input_schema"), config.get("inputs") or {})
    except InputError as error:
        raise invalid(str(error), "body", "action_config", "inputs") from error
    return list(body["collection_identifiers"])


async def _alert(connection: Connection, namespace_id: str, config: JsonObject, found: Found) -> list[str]:
    """The collections the alert is attached to, else those of its retriever."""
    attached = await collections_of_alert(connection, namespace_id, config["alert_id"])
    if attached:
        return [row.record.id for row, _ in attached]
    retriever_id = found["alert_id"].body.get("retriever_id")
    if retriever_id is None:
        return []
    return list(
        (await require(connection, "retriever", namespace_id, retriever_id)).body["collection_identifiers"]
    )


_ABOUT: Final[Mapping[str, Callable[[Connection, str, Any, Found], Awaitable[list[str]]]]] = {
    "cluster": _cluster,
    "taxonomy_enrichment": _taxonomy,
    "batch_rerun": _batch,
    "collection_trigger": _collection,
    "retriever_execution": _retriever,
    "alert_evaluation": _alert,
}
