"""``retriever-executions``: details of look-up, ad-hoc and trigger runs of a retriever.

Percolations write none: their detail is composed from the alert result when somebody reads it.
"""

from datetime import datetime
from typing import Any, Literal

from schemas.events.frozen import Record


class RetrieverExecutionRecord(Record):
    """One run of one retriever, in the words of the contract (4.6)."""

    execution_id: str
    namespace_id: str
    retriever_id: str
    status: Literal["completed", "failed"]
    created_at: datetime
    completed_at: datetime
    detail: dict[str, Any]
    """The ``ExecutionDetail`` of the contract, without the fields above."""

    @property
    def key(self) -> bytes:
        """``ns/retriever``."""
        return f"{self.namespace_id}/{self.retriever_id}".encode()
