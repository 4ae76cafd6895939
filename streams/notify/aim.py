"""Where a due delivery goes now, by the alert as it stands. Pure.

How an endpoint is reached is taken from the definition at every attempt: whoever repairs a secret repairs its
retries. Where it leads is not: a delivery decided for one address never goes to another.
"""

from collections.abc import Mapping

from streams.notify.channels import Way, identity, way
from streams.notify.plan import AlertKey
from streams.notify.policy import Policy


class GoneError(ValueError):
    """There is nothing to send to any more. The message says why."""


def aim(policies: Mapping[AlertKey, Policy], alert: AlertKey, channel: bytes, channel_type: str) -> Way:
    """The way of a delivery, by the :func:`identity` of the channel it was decided for. Raises
    :class:`GoneError` when the alert is no longer enabled or has no such channel any more,
    ``NotConfiguredError`` when the channel cannot deliver."""
    policy = policies.get(alert)
    if policy is None:
        raise GoneError(f"the {_noun(alert)} was deleted before this could be delivered")
    if not policy.enabled:
        raise GoneError(f"the {_noun(alert)} was disabled before this could be delivered")
    for standing in policy.channels:
        if identity(standing) == channel:
            return way(standing)
    raise GoneError(f"the {channel_type} channel was removed or changed before this could be delivered")


def _noun(key: AlertKey) -> str:
    namespace_id, subject = key
    if not namespace_id:
        return "webhook"
    return "trigger" if subject.startswith("trig_") else "alert"
