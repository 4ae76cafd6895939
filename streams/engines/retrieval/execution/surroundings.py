"""What an alert sees besides its definitions and the document in hand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from streams.engines.retrieval.execution.corpus import Corpus
from streams.engines.retrieval.execution.execute import NoDefinitions
from streams.engines.retrieval.execution.run import Definitions


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where stages find other documents and definitions, and what time it is."""

    corpus: Corpus
    now: datetime
    """The document's time: read again, it finds what it found."""
    clock: Callable[[], float]
    """Seconds of a monotonic clock, which budgets are measured by."""
    definitions: Definitions = field(default_factory=NoDefinitions)
