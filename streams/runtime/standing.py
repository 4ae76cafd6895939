"""How long a reader of topics has not gone on though there is more to read. Pure.

A process that ended is noticed by whoever began it; one that hangs is not. Looked at now and then: a partition
where something waits, and that stands where it stood when it was first seen so, has stood still since then.
"""

from collections.abc import Mapping

Place = tuple[str, int]
"""Topic and partition."""


class Standing:
    """What was seen so far. Times are seconds of any clock that never goes back."""

    def __init__(self) -> None:
        self._since: dict[Place, tuple[int, float]] = {}

    def see(self, now: float, ends: Mapping[Place, int], offsets: Mapping[Place, int]) -> float:
        """For how many seconds at least some partition has stood still; 0 where none has. ``ends`` and
        ``offsets``: where each ends, and from where it is read next; one that is not read begins at 0."""
        seen: dict[Place, tuple[int, float]] = {}
        for place, end in ends.items():
            offset = offsets.get(place, 0)
            if offset < end:
                before = self._since.get(place)
                seen[place] = before if before is not None and before[0] == offset else (offset, now)
        self._since = seen
        return max((now - since for _, since in seen.values()), default=0.0)
