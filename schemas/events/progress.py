"""``match-progress``: how far match has checked each collection of each partition.

Absolute positions only, written after the results they cover were acknowledged; readers keep the maximum.
"""

from datetime import datetime

from schemas.events.frozen import Record


class MatchProgress(Record):
    """Everything of the collection in the partition before ``next_offset`` has been checked."""

    source_topic: str
    partition: int
    namespace_id: str
    collection_id: str
    next_offset: int
    occurred_at: datetime
    """Greatest ``occurred_at`` seen."""
    appended_at: datetime
    """Append time of the last record checked."""
    definitions_version: int
    documents: int = 0
    """Documents checked in the batch this record closes; for rates, never for totals."""

    @property
    def key(self) -> bytes:
        """``partition/ns/collection``."""
        return f"{self.partition}/{self.namespace_id}/{self.collection_id}".encode()
