"""Comparisons of ISO 8601 instants in strings: the day decides, but near the bound and for rare spellings.

A local time is at most a day away from UTC, so that a string whose day is further from the bound's fits or does
not whatever its zone. In UTC and in the common spelling the second decides.
"""

from datetime import datetime, timedelta
from typing import Final

from schemas.times import EPOCH
from streams.retrieval.sql.bounds import UNKNOWN, Bounds
from streams.retrieval.sql.parameters import Parameters

_DAY: Final = 86_400_000_000
# Days that every year has; the 29th of February is left to be looked at.
_DATE: Final = (
    "(?!0000)[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)"
    "|(?:0[13578]|1[02])-31)"
)
_COMMON: Final = f"^{_DATE}(?:T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]{{1,6}})?(?:Z|[+]00:00)?)?$"


def compared(operator: str, text: str, bound: int, parameters: Parameters) -> Bounds:
    """Whether the instant in ``text`` (SQL, a string) is ``gt``, ``gte``, ``lt`` or ``lte`` the bound,
    microseconds since 1970."""
    moment = moment_of(bound)
    later = operator in ("gt", "gte")
    edge = moment_of(bound - _DAY if later else bound + _DAY)
    if moment is None or edge is None:
        return UNKNOWN
    sign = ">" if later else "<"
    plain = f'{text} COLLATE "C"'
    day, second = _written(moment, "%m-%d", parameters), _written(moment, "%m-%dT%H:%M:%S", parameters)
    common = f"{plain} ~ {parameters.text(_COMMON)}"
    decided = f"CASE WHEN length({text}) = 10 THEN {plain} {sign} {day} ELSE left({plain}, 19) {sign} {second} END"
    far = _written(edge, "%m-%d", parameters)
    compact = _written(edge, "%m%d", parameters, "")
    possible = (
        f"CASE WHEN substr({text}, 5, 1) = '-' THEN left({plain}, 10) {sign}= {far}"
        f" ELSE left({plain}, 8) {sign}= {compact} END"
    )
    return Bounds(f"{common} AND {decided}", possible)


def moment_of(microseconds: int) -> datetime | None:
    """An instant; ``None`` outside the calendar."""
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def _written(moment: datetime, rest: str, parameters: Parameters, dash: str = "-") -> str:
    # strftime does not pad years on every platform.
    return parameters.text(f"{moment.year:04}{dash}{moment.strftime(rest)}")
