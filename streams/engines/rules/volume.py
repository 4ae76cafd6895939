"""Volume: whether more documents came in the window than the threshold (contract 4.8). Pure.

Needs no baseline to compare with. Without ``window_seconds`` it counts since the last fire whose action
succeeded (from the beginning before the first), so a failed action leaves its documents to be counted again.
"""

from datetime import datetime

from streams.engines.rules.condition import CheckState, Condition, exceeded, numbers, window_words
from streams.engines.rules.decision import Decision


def decide(condition: Condition, state: CheckState, documents: int, at: datetime) -> Decision[CheckState]:
    """A check at nominal time ``at`` with ``documents`` in the window."""
    assert condition.threshold is not None
    count, threshold = numbers(documents, condition.threshold)
    words = window_words(condition, state.baseline_at)
    if documents <= condition.threshold:
        return Decision(False, f"volume {count} does not exceed {threshold} (documents {words})", state)
    return exceeded(condition, state, at, f"volume {count} exceeds {threshold} (documents {words})")
