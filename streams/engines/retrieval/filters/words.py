"""Text as words, for the operators ``phrase`` and ``words``."""

import re
from typing import Final

from streams.engines.retrieval.filters.stem import stem

# Han and Hiragana have no spaces between words: each character counts as one, as in Unicode's UAX 29.
_CHARACTERS: Final = "\u3041-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD: Final = re.compile(rf"[{_CHARACTERS}]|[^\W{_CHARACTERS}]+")


def tokens(text: str) -> list[str]:
    """The words of a text in order, spelled as they stand there: runs of letters, digits and ``_``."""
    return _WORD.findall(text)


def line(words: list[str]) -> str:
    """Words as one string in which a run of words is a substring: ``" a b c "``."""
    return f" {' '.join(words)} "


def stems(text: str, *, case_sensitive: bool) -> frozenset[str]:
    """The stems of the words of a text. With ``case_sensitive`` a stem keeps the capitals of its word."""
    if not case_sensitive:
        return frozenset(stem(word) for word in tokens(text.casefold()))
    return frozenset(_cased_stem(word) for word in tokens(text))


def _cased_stem(word: str) -> str:
    lower = word.lower()
    short = stem(lower)
    if len(lower) != len(word):
        return short
    kept = 0
    while kept < len(short) and short[kept] == lower[kept]:
        kept += 1
    return word[:kept] + short[kept:]
