"""Where a due delivery goes now, by the alert as it stands. Pure.

The address is taken from the definition at every attempt: whoever repairs an address repairs its retries.
"""

from collections.abc import Mapping

from streams.notify.channels import Endpoint, endpoint
from streams.notify.plan import AlertKey
from streams.notify.policy import Policy


class GoneError(ValueError):
    """There is nothing to send to any more. The message says why."""


def aim(policies: Mapping[AlertKey, Policy], alert: AlertKey, channel_index: int, channel_type: str) -> Endpoint:
    """The endpoint of a delivery. Raises :class:`GoneError` when the alert or its channel no longer stands as
    it was, ``NotConfiguredError`` when the channel cannot deliver."""
    policy = policies.get(alert)
    if policy is None:
        raise GoneError("the alert was deleted before this could be delivered")
    if not policy.enabled:
        raise GoneError("the alert was disabled before this could be delivered")
    if channel_index >= len(policy.channels):
        raise GoneError("the channel was removed before this could be delivered")
    channel = policy.channels[channel_index]
    if channel.get("channel_type") != channel_type:
        raise GoneError(f"the {channel_type} channel was replaced before this could be delivered")
    return endpoint(channel)
