"""When a feature of a collection gets a segment, and of what (docs/decisions/024). Pure."""

from dataclasses import dataclass
from typing import Final, Literal

LARGE: Final = 20_000
"""Documents that are compared one by one in a few milliseconds: no index is made for fewer."""
MAX_SEGMENTS: Final = 8
"""Segments that a search asks, at most."""

Build = Literal["nothing", "add", "replace", "retire"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A feature of a collection, and its index."""

    documents: int
    """Of the collection, now."""
    segments: int
    vectors: int
    """In its segments, those of documents that have changed or gone since included."""
    since: int
    """Documents that came or changed since."""


def decide(standing: Standing, large: int = LARGE) -> Build:
    """``add`` a segment of what came since, ``replace`` all of them by one of everything, ``retire`` them, or
    ``nothing``.

    What is searched exactly stays below ``large``. Everything is indexed again when it has doubled, when half of
    what the segments hold is of the past, or when there are too many of them: each vector a few times, however
    many come.
    """
    if standing.documents < large:
        return "retire" if standing.segments and standing.documents < large // 2 else "nothing"
    if standing.vectors > 2 * standing.documents:
        return "replace"
    if standing.since < large:
        return "nothing" if standing.segments else "replace"
    if not standing.segments or standing.segments >= MAX_SEGMENTS or standing.since >= standing.vectors:
        return "replace"
    return "add"
