"""What the documents of a window come to: counted, added up, and the newest of them by name. Pure.

Totals of buckets, partitions and batches combine in any order to the same: numbers are decimals as they were
written (0.1 + 0.2 is 0.3), never rounded.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final

EXACT: Final = Context(prec=1_400)
"""Wide enough for the sum and the product of any two floats in full."""
NEWEST: Final = 5
"""Documents that are remembered by name."""


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A document of a window. Ordered by time, then by name."""

    at: int
    """Seconds since 1970, in the window's time domain."""
    document_id: str
    score: float
    asset_id: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """Of some documents; of none by default."""

    documents: int = 0
    values: int = 0
    """Numbers found in the field that is aggregated."""
    total: Decimal = Decimal(0)
    least: Decimal | None = None
    greatest: Decimal | None = None
    newest: tuple[Reference, ...] = ()
    """The last first."""
    causes: tuple[str, ...] = ()
    """The longest chain of causes of a document's write."""

    def plus(self, other: "Totals") -> "Totals":
        """Of both together."""
        return Totals(
            self.documents + other.documents,
            self.values + other.values,
            EXACT.add(self.total, other.total),
            min(_present(self.least, other.least), default=None),
            max(_present(self.greatest, other.greatest), default=None),
            _newest(self.newest, other.newest),
            max(self.causes, other.causes, key=lambda chain: (len(chain), chain)),
        )


def totals_of(
    reference: Reference | None, documents: int, numbers: Iterable[int | float], causes: tuple[str, ...]
) -> Totals:
    """Of one document."""
    # The shortest text of a float is the number its writer wrote.
    found = [Decimal(repr(number)) for number in numbers]
    total = Decimal(0)
    for number in found:
        total = EXACT.add(total, number)
    return Totals(
        documents,
        len(found),
        total,
        min(found, default=None),
        max(found, default=None),
        () if reference is None else (reference,),
        causes,
    )


def _newest(one: tuple[Reference, ...], other: tuple[Reference, ...]) -> tuple[Reference, ...]:
    if not one or not other:
        return one or other
    return tuple(sorted({*one, *other}, reverse=True)[:NEWEST])


def _present(*found: Decimal | None) -> list[Decimal]:
    return [item for item in found if item is not None]
