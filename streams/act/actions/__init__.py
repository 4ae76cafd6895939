"""The actions a trigger can ask for, by ``action_type``."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from streams.act.actions import (
    alert_evaluation,
    batch_rerun,
    cluster,
    collection_trigger,
    document_changes,
    namespace_delete,
    retriever_execution,
    taxonomy_enrichment,
)
from streams.act.actions.action import Action
from streams.act.failures import ActionError

_FIRST: Final[Mapping[str, Action]] = {
    "alert_evaluation": alert_evaluation.run,
    "cluster": cluster.run,
    "collection_trigger": collection_trigger.run,
    "document_changes": document_changes.run,
    "namespace_delete": namespace_delete.run,
    "retriever_execution": retriever_execution.run,
    "taxonomy_enrichment": taxonomy_enrichment.run,
}
ACTIONS: Mapping[str, Action] = {**_FIRST, "batch_rerun": partial(batch_rerun.run, _FIRST)}


def action_named(action_type: str) -> Action:
    """The action of a type. Raises :class:`ActionError` when this version has none."""
    action = ACTIONS.get(action_type)
    if action is None:
        raise ActionError(f"action {action_type} is not available in this version")
    return action
