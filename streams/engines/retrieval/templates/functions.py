"""The functions of templates (contract section 6, Templates)."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from jinja2 import Undefined

from streams.engines.retrieval.templates.meter import Meter, TooMuchError

MAX_RANGE: Final = 10_000
_DIGITS: Final = 30

FUNCTIONS: Final = frozenset(("max", "min", "abs", "round", "ceil", "floor", "range", "utc_now", "time_ago"))
"""The functions there are."""


def functions(now: datetime, meter: Meter) -> dict[str, Callable[..., Any]]:
    """Function name → function, for one rendering at ``now``."""

    def time_ago(
        *, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0, weeks: float = 0
    ) -> str:
        return _instant(now - timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days, weeks=weeks))

    def numbers(*bounds: int) -> list[int]:
        steps = range(*bounds)
        if len(steps) > MAX_RANGE:
            raise TooMuchError(f"range gives more than {MAX_RANGE:,} numbers")
        meter.spend(len(steps))
        return list(steps)

    return {
        "max": _chooser(max, meter),
        "min": _chooser(min, meter),
        "abs": abs,
        "round": rounded,
        "ceil": math.ceil,
        "floor": math.floor,
        "range": numbers,
        "utc_now": lambda: _instant(now),
        "time_ago": time_ago,
    }


def rounded(value: float, digits: int = 0) -> float | int:
    """To a number of decimals; a whole number without."""
    if abs(digits) > _DIGITS:
        raise ValueError(f"round takes at most {_DIGITS} digits")
    return round(value, digits) if digits else round(value)


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _chooser(choose: Callable[..., Any], meter: Meter) -> Callable[..., Any]:
    """``max`` and ``min`` of arguments or of a list, missing values left out; nothing of nothing."""

    def choice(*values: Any) -> Any:
        items = values[0] if len(values) == 1 and isinstance(values[0], list) else values
        present = [item for item in meter.each(items) if item is not None and not isinstance(item, Undefined)]
        return choose(present) if present else None

    return choice
