"""The actions a trigger can ask for, by ``action_type``."""

from collections.abc import Mapping

import streams.act.actions.cluster as cluster
from streams.act.actions.action import Action
from streams.act.failures import ActionError

ACTIONS: Mapping[str, Action] = {
    "cluster": cluster.run,
}


def action_named(action_type: str) -> Action:
    """The action of a type. Raises :class:`ActionError` when this version has none."""
    action = ACTIONS.get(action_type)
    if action is None:
        raise ActionError(f"action {action_type} is not available in this version")
    return action
