"""Who may send now: bounded in all and per host, so that one dead endpoint does not hold up another. Pure."""

from collections import Counter
from typing import Final

IN_FLIGHT: Final = 128
"""Attempts at the same time."""
PER_HOST: Final = 8
"""Attempts at the same time to one host that answers. One that did not answer last time gets one."""


class Slots:
    """Counts what is in flight."""

    def __init__(self, in_flight: int = IN_FLIGHT, per_host: int = PER_HOST) -> None:
        self._in_flight = in_flight
        self._per_host = per_host
        self._busy: Counter[str] = Counter()
        self._silent: set[str] = set()

    @property
    def free(self) -> int:
        """Attempts that may still be started, whatever their hosts."""
        return self._in_flight - self._busy.total()

    def room(self, host: str) -> int:
        """Attempts that may still be started to ``host``."""
        limit = 1 if host in self._silent else self._per_host
        return max(0, min(self.free, limit - self._busy[host]))

    def take(self, host: str) -> None:
        """An attempt starts."""
        self._busy[host] += 1

    def release(self, host: str, *, answered: bool) -> None:
        """An attempt has ended; ``answered`` if the host gave any HTTP answer."""
        self._busy[host] -= 1
        if not self._busy[host]:
            del self._busy[host]
        if answered:
            self._silent.discard(host)
        else:
            self._silent.add(host)
