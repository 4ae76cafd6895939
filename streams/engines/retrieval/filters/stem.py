"""English stems by the Snowball stemmer.

M. F. Porter, "Snowball: A language for stemming algorithms" (2001), snowballstem.org.

``drinking``, ``drinks`` and ``drink`` have one stem. Words of other alphabets come back unchanged.
"""

import threading
from functools import lru_cache
from typing import Final

import Stemmer

_STEMS_KEPT: Final = 65_536


class _Local(threading.local):
    """A stemmer keeps its work in itself, so each thread has its own."""

    def __init__(self) -> None:
        self.stemmer = Stemmer.Stemmer("english", 0)  # without its own cache: stem() keeps one for all threads


_local: Final = _Local()


@lru_cache(_STEMS_KEPT)
def stem(word: str) -> str:
    """The stem of a lower-case word. Both apostrophes are one: ``dog's`` has the stem ``dog`` with either."""
    try:
        return str(_local.stemmer.stemWord(word.replace("\u2019", "'")))
    except UnicodeEncodeError:  # half of a surrogate pair: no English word
        return word
