"""Where a stream of executions stands, as its event ids say it. Pure.

Executions are streamed in the order in which records of ``alert-results`` brought them: by offset within each
partition, by alert number within a record. That order is the log's: the same after a crash, in every process, and
in a view that was rebuilt.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

WINDOW: Final = 250
"""Records of each partition that one read looks through, at most: what it finds beyond its page is found again by
the next."""
EVENT_ID: Final = r"^([0-9]{1,9}(:[0-9]{1,18}){1,2}(,[0-9]{1,9}(:[0-9]{1,18}){1,2})*)?$"
"""What :meth:`Stands.event_id` writes."""
_EVENT_ID: Final = re.compile(EVENT_ID)
_NONE: Final = -1
"""Before the first alert of a record."""


@dataclass(frozen=True, slots=True, order=True)
class Stand:
    """In one partition: behind the alert with this number, on the record at this offset."""

    offset: int
    number: int = _NONE


@dataclass(frozen=True, slots=True, order=True)
class Brought:
    """An execution as it came: which record brought it, and its number on it."""

    partition: int
    offset: int
    number: int


@dataclass(frozen=True, slots=True)
class Stands:
    """In every partition; one that is not named stands at its beginning."""

    partitions: Mapping[int, Stand] = field(default_factory=dict)

    def of(self, partition: int) -> Stand:
        """In one partition."""
        return self.partitions.get(partition, Stand(0))

    def ahead(self, ends: Mapping[int, int]) -> dict[int, tuple[Stand, int]]:
        """What to read next where the view has come to ``ends``: per partition from where, and to which offset."""
        behind = {tp: (self.of(tp), end) for tp, end in sorted(ends.items()) if end > self.of(tp).offset}
        return {tp: (stand, min(end, stand.offset + WINDOW)) for tp, (stand, end) in behind.items()}

    def after(self, read: Mapping[int, tuple[Stand, int]], last: Brought | None) -> "Stands":
        """Behind a read of ``read``: all of it, or what comes in order up to ``last``."""
        moved = {partition: Stand(end) for partition, (_, end) in read.items()}
        if last is not None:
            moved = {partition: stand for partition, stand in moved.items() if partition < last.partition}
            moved[last.partition] = Stand(last.offset, last.number)
        return Stands({**self.partitions, **moved})

    def behind(self, item: Brought) -> "Stands":
        """Behind one execution."""
        return Stands({**self.partitions, item.partition: Stand(item.offset, item.number)})

    def event_id(self) -> str:
        """``partition:offset`` or ``partition:offset:number``, by commas."""
        return ",".join(
            f"{partition}:{stand.offset}" + ("" if stand.number == _NONE else f":{stand.number}")
            for partition, stand in sorted(self.partitions.items())
        )


def at_ends(ends: Mapping[int, int]) -> Stands:
    """At the end of what the view holds."""
    return Stands({partition: Stand(end) for partition, end in ends.items()})


def parse_event_id(text: str) -> Stands:
    """What :meth:`Stands.event_id` wrote; in a partition that is named twice, the place further back. Raises
    ``ValueError``."""
    if _EVENT_ID.fullmatch(text) is None:
        raise ValueError("it is not partition:offset or partition:offset:number, by commas")
    stands: dict[int, Stand] = {}
    for part in filter(None, text.split(",")):
        partition, *place = map(int, part.split(":"))
        stands[partition] = min(Stand(*place), stands.get(partition, Stand(*place)))
    return Stands(stands)
