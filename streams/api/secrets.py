"""Secrets inside notification channels: stored under an id, shown as a mask, kept when the mask comes back.

Which places are secret says ``schemas.api.channel``. The definition holds ``{"$secret": "<id>"}`` in their place.
"""

from copy import deepcopy
from typing import Any

from pydantic import SecretStr

from schemas.api.base import JsonObject
from schemas.api.channel import MASK, secret_places
from streams.runtime.database import Connection
from streams.runtime.http.errors import conflict, invalid
from streams.runtime.secrets import SecretKeyMissingError, store_secret

REFERENCE = "$secret"


def references(notification_config: JsonObject) -> list[str]:
    """The ids of the stored secrets of a config."""
    return [
        holder[key][REFERENCE]
        for channel in notification_config["channels"]
        for holder, key in secret_places(channel)
    ]


def _same_target(new: JsonObject, old: JsonObject) -> bool:
    """Whether a secret given for ``old`` may go on being sent by ``new``: only to the same address."""
    if new["channel_type"] != old["channel_type"]:
        return False
    return (new.get("config") or {}).get("url") == (old.get("config") or {}).get("url")


def restored(new: JsonObject, old: JsonObject | None) -> JsonObject:
    """``new`` with each mask replaced by the reference ``old`` holds there.

    A mask stands for the secret of the same channel: same place in the list, or the only other one of its kind
    and address. Raises 409 for a mask without such a channel, so that changing a webhook's address never sends
    its secret to the new one.
    """
    result = deepcopy(new)
    before: list[JsonObject] = [] if old is None else old["channels"]
    for index, channel in enumerate(result["channels"]):
        candidates = [item for item in before if _same_target(channel, item)]
        same_place = index < len(before) and before[index] in candidates
        source = before[index] if same_place else candidates[0] if len(candidates) == 1 else None
        held = {} if source is None else {key: holder[key] for holder, key in secret_places(source)}
        for holder, key in secret_places(channel):
            if holder[key] != MASK:
                continue
            if key not in held:
                raise conflict(
                    f"'{MASK}' is how a stored secret is shown, and there is none for {key!r} of this address:"
                    " send the secret itself",
                    *("body", "notification_config", "channels", index, "config", key),
                )
            holder[key] = held[key]
    return result


async def sealed(
    connection: Connection, key: SecretStr | None, namespace_id: str, notification_config: JsonObject
) -> JsonObject:
    """The config with each plain secret stored and replaced by its reference. Raises 422 when the server has no
    key to encrypt with."""
    result = deepcopy(notification_config)
    for index, channel in enumerate(result["channels"]):
        for holder, name in secret_places(channel):
            plain: Any = holder[name]
            if isinstance(plain, str):
                try:
                    holder[name] = {REFERENCE: await store_secret(connection, key, namespace_id, plain)}
                except SecretKeyMissingError as error:
                    where = ("body", "notification_config", "channels", index, "config", name)
                    raise invalid(str(error), *where) from error
    return result


async def forget(connection: Connection, namespace_id: str, secret_ids: list[str]) -> None:
    """Delete stored secrets."""
    if secret_ids:
        await connection.execute(
            "DELETE FROM secrets WHERE namespace_id = %s AND secret_id = ANY(%s)", (namespace_id, secret_ids)
        )
