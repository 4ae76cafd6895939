"""Times as people type them: ``90d``, ``12h``, or an instant. Pure."""

import re
from datetime import datetime, timedelta
from typing import Final

from schemas.times import parse_instant

_DURATION: Final = re.compile(r"([0-9]{1,6})\s*([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: str) -> timedelta:
    """A number and a unit of s, m, h, d or w. Raises ``ValueError``."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no length of time; write a number and a unit: 30m, 12h, 90d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def parse_expiry(text: str, now: datetime) -> datetime:
    """An instant in the future, given as it is or as a length of time from ``now``. Raises ``ValueError``."""
    if _DURATION.fullmatch(text.strip()):
        try:
            moment = now + parse_duration(text)
        except OverflowError:
            raise ValueError(f"{text!r} is beyond the end of the calendar") from None
    else:
        try:
            moment = parse_instant(text.strip())
        except ValueError:
            raise ValueError(f"{text!r} is neither a length of time (90d) nor an instant (2027-01-31)") from None
    if moment <= now:
        raise ValueError(f"{text!r} is not in the future")
    return moment
