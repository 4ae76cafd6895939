"""Numbers of filters as PostgreSQL compares them with those of documents: decimals, without rounding.

A document's number is a whole one of 64 bits or a float, and of a float the table holds the shortest decimal that
reads back as it. Below 2^63 comparing decimals comes to what comparing the numbers does: decimals of floats are in
the order of the floats, and a float that lies between two whole numbers of 64 bits is one of less than 2^53.
"""

from typing import Final

_COMPARABLE: Final = 2**63
_WHOLE: Final = 2**53
"""Floats from here on are whole numbers."""


def comparable(number: float) -> int | float | None:
    """The number to compare with as a decimal; ``None`` where decimals compare otherwise."""
    if not abs(number) < _COMPARABLE:
        return None
    return int(number) if abs(number) >= _WHOLE else number
