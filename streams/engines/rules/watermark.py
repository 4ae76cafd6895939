"""How far event time has come for a set of collections (design section 5). Pure.

``W`` is an instant such that every document that occurred before it has been collected, as far as producers
and the log can say. A check of nominal time ``n`` runs once ``n <= W``.

The rule, over the partitions of ``documents``:

- a partition *lags* while records in it have not been collected. It holds event time back to its own
  watermark; when it has none yet, everything;
- a partition without lag holds nothing back: what it has not said, it does not have;
- W is the least watermark over the lagging partitions, and never more than the greatest watermark of any
  partition, which is how far producers have got.

Idleness is thus judged by lag, never by a timer: a partition that gets no records delays nothing, and a replay
in seconds decides like the live run did in years.

Worked example: three partitions, ``lag`` = records not collected yet, times of one day:

==================================  =========  =========  =========  =====  ================================
situation                           p0         p1         p2         W      because
==================================  =========  =========  =========  =====  ================================
nothing collected, records wait     none lag   none lag   none lag   none   no partition has a watermark
p0 is ahead, p2 has not begun       09:00 lag  08:00 lag  none lag   none   p2 may hold anything
all have begun, all lag             09:00 lag  08:00 lag  07:00 lag  07:00  the slowest lagging partition
p2 fully read, the others lag       09:00 lag  08:00 lag  07:00      08:00  p2 has nothing older to give
all fully read                      09:00      08:00      07:00      09:00  the greatest: nothing waits
p1 gets records, not yet collected  09:00      08:00 lag  07:00      08:00  held back again, nothing undone
only p0 gets this collection        09:00      none       none       09:00  idle partitions delay nothing
only the foremost lags              09:00 lag  08:00      07:00      09:00  what p0 still holds is newer
==================================  =========  =========  =========  =====  ================================

The order in which the facts are read matters: first the stored watermarks and positions in one snapshot, *then*
the end offsets. A record that arrives in between then shows as lag, never as a watermark too far.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

AHEAD: Final = timedelta(days=1)
"""How far beyond its append time a record is believed about event time: clocks and zones differ, by no more."""


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """One partition as one collection sees it: how far event time is in it, and whether records wait."""

    watermark: datetime | None
    """Nothing older is expected in this partition after what was collected; ``None``: nothing was said yet."""
    lags: bool


def lags(next_offset: int | None, begin_offset: int, end_offset: int) -> bool:
    """Whether a partition has records that were not collected. ``next_offset`` is the stored position; without
    one, collecting begins at ``begin_offset``, the oldest record the broker still has."""
    return end_offset > (begin_offset if next_offset is None else next_offset)


def watermark(partitions: Iterable[PartitionProgress]) -> datetime | None:
    """W of the rule above; ``None`` when no check may run yet.

    A trigger that watches several collections gives every (collection, partition) pair.
    """
    held: datetime | None = None
    greatest: datetime | None = None
    for partition in partitions:
        mark = partition.watermark
        if mark is None:
            if partition.lags:
                return None
            continue
        greatest = mark if greatest is None else max(greatest, mark)
        if partition.lags:
            held = mark if held is None else min(held, mark)
    return greatest if held is None else held
