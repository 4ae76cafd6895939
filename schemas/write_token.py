"""What a reader waits for: its own write, by the token it was answered with, or by where it was produced.

``min_position`` is a list by commas. Each part is a write token (:func:`write_token`), or ``partition:offset`` of
a record in ``documents``, as a producer's acknowledgement names it. A token says nothing but which transaction
wrote: it opens nothing, and a made-up one costs at most a bounded wait.
"""

import re
from dataclasses import dataclass
from typing import Final

from schemas.headers import SourcePosition

MAX_PARTS: Final = 64
_PREFIX: Final = "wt_"
_TOKEN: Final = re.compile(r"wt_([0-9a-f]{1,16})")
_POSITION: Final = re.compile(r"([0-9]{1,10}):([0-9]{1,18})")
_LARGEST: Final = (1 << 31) - 1
_PART: Final = "(wt_[0-9a-f]{1,16}|[0-9]{1,9}:[0-9]{1,18})"
PATTERN: Final = f"^({_PART}(,{_PART}){{0,{MAX_PARTS - 1}}})?$"
"""A list of tokens and positions; empty it names nothing."""


@dataclass(frozen=True, slots=True)
class MinPosition:
    """What must have been applied before a read is answered."""

    transactions: tuple[int, ...]
    """Transactions of the database, by number."""
    documents: tuple[SourcePosition, ...]
    """Records in ``documents``."""


def write_token(transaction: int) -> str:
    """The token of a transaction of the database, by its 64-bit number."""
    return f"{_PREFIX}{transaction:x}"


def parse_min_position(text: str) -> MinPosition:
    """Read a list of write tokens and positions. Raises ``ValueError`` with what is wrong."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > MAX_PARTS:
        raise ValueError(f"it names {len(parts)} positions; {MAX_PARTS} are allowed")
    transactions: list[int] = []
    documents: list[SourcePosition] = []
    for part in parts:
        if (token := _TOKEN.fullmatch(part)) is not None:
            transactions.append(int(token[1], 16))
        elif (position := _POSITION.fullmatch(part)) is not None and int(position[1]) <= _LARGEST:
            documents.append(SourcePosition(int(position[1]), int(position[2])))
        else:
            raise ValueError(f"{part[:80]!r} is neither a write token nor partition:offset")
    return MinPosition(tuple(transactions), tuple(documents))
