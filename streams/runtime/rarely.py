"""Saying the same thing once a minute, however often it happens."""

import re
from datetime import datetime, timedelta
from typing import Final

EVERY: Final = timedelta(minutes=1)
_MOST: Final = 10_000
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")


class Rarely:
    """Counts what is kept back. What differs in numbers alone (times, amounts) is the same; of what is said in a
    minute beyond the first ten thousand things nothing is said."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], tuple[datetime, int]] = {}
        """What was said: when, and how often it was kept back since."""

    def due(self, subject: str, reason: str, now: datetime) -> int | None:
        """``None`` when it was said less than a minute ago; else how often it was kept back since."""
        key = (subject, _NUMBER.sub("#", reason))
        held = self._said.get(key)
        if held is not None and now - held[0] < EVERY:
            self._said[key] = (held[0], held[1] + 1)
            return None
        if held is None and len(self._said) >= _MOST:
            self._said = {key: said for key, said in self._said.items() if now - said[0] < EVERY}
            if len(self._said) >= _MOST:
                return None
        self._said[key] = (now, 0)
        return 0 if held is None else held[1]
