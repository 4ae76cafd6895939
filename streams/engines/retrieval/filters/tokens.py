"""Text as words, cut as Lucene's StandardTokenizer cuts it, for the operators ``phrase`` and ``words``.

Words are those of Unicode Standard Annex 29: ``don't``, ``u.s.a``, ``442,000`` and ``snake_case`` are one word
each, ``covid-19`` two. Of scripts without spaces each ideograph and each Hiragana is a word, Katakana stays
together, and so does a run of a script whose words need a dictionary (Thai, Lao, Khmer, Myanmar). A pictograph
is a word. Spaces, punctuation and other symbols are between words. Words are lower-cased code point by code
point; none is left out; of more than 255 UTF-16 units they are cut there.

Text of the characters of Windows-1252 (ASCII, Western European letters, typographic quotes and dashes), nearly
all there is, is cut by bytes, several times faster; any other by the classes of its characters.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from streams.engines.retrieval.filters.stem import stem
from streams.engines.retrieval.filters.values import lower
from streams.engines.retrieval.filters.word_classes import WordClasses

MAX_TOKEN: Final = 255
"""UTF-16 units, Lucene's limit."""
_TEXTS_KEPT: Final = 16

_CLASSES: Final = WordClasses()

# The rules WB3c to WB16 over the letters of word_class. Each character takes the E after it with it (WB4).
_E: Final = "[ezsT]*+"
_U: Final = f"(?:_{_E})"
_LETTER: Final = (
    f"(?:A{_E}(?:[q.:]{_E}(?=[AH]))?+"
    # A Hebrew letter keeps a quote after it (WB7a), which then ends the word: that one is _GERESH.
    f"|H{_E}(?:[q.:]{_E}(?=[AH])|Q{_E}(?=H)|(?!q)))"
)
_DIGIT: Final = f"(?:N{_E}(?:[q.;]{_E}(?=N))?+)"
_GERESH: Final = f"(?:H{_E}q{_E})"
_ALNUM: Final = f"(?:{_LETTER}|{_DIGIT})++"
_KATAKANA: Final = f"(?:K{_E})++"
_LAST: Final = f"(?:{_ALNUM}{_GERESH}?+|{_GERESH}|{_KATAKANA})"
_WORD: Final = re.compile(
    f"({_U}*+(?:(?:(?:{_ALNUM}|{_KATAKANA}){_U}++)++{_LAST}?+|{_LAST})"
    f"|(?:[Ss]{_E})++|I{_E}|z*+P{_E}(?:(?<=z)P{_E})*+|R{_E}R{_E}|k[ezs]*+T{_E})|{_U}++|z++"
)

_CODEC: Final = "cp1252"


def _byte_classes() -> dict[int, str]:
    characters = bytes(range(256)).decode(_CODEC, errors="replace")
    return {byte: " " if char == "\ufffd" else _CLASSES[ord(char)] for byte, char in enumerate(characters)}


def _table(*, lowered: bool) -> bytes:
    """For ``bytes.translate``: characters of words stay, in lower case if asked, others become spaces."""
    kept = bytes(byte if kind in "AN_" else 0x20 for byte, kind in _BYTE_CLASSES.items())
    return kept.decode(_CODEC).lower().encode(_CODEC) if lowered else kept


_BYTE_CLASSES: Final = _byte_classes()
_LOWERED: Final = _table(lowered=True)
_CASED: Final = _table(lowered=False)
_LETTERS: Final = 1
_DIGITS: Final = 2
_JOINED: Final = bytes({"A": _LETTERS, "N": _DIGITS}.get(kind, 0) for kind in _BYTE_CLASSES.values())
"""What each byte is as a neighbour of one that joins."""
_JOINS: Final = {"q": _LETTERS | _DIGITS, ".": _LETTERS | _DIGITS, ":": _LETTERS, ";": _DIGITS}
_JOINERS: Final = [(byte, _JOINS[kind]) for byte, kind in _BYTE_CLASSES.items() if kind in _JOINS]
_ASCII_JOINERS: Final = [joiner for joiner in _JOINERS if joiner[0] < 0x80]
_OTHERS: Final = bytes(byte for byte, kind in _BYTE_CLASSES.items() if kind not in "AN_qQ.:;k ")
"""Bytes of characters that the way by bytes does not know."""


def tokens(text: str, *, case_sensitive: bool = False) -> list[str]:
    """The words of a text in order, in lower case unless ``case_sensitive``."""
    codec, joiners = "ascii", _ASCII_JOINERS
    try:
        if not text.isascii():
            codec, joiners = _CODEC, _JOINERS
        raw = text.encode(codec) + b" "  # what ends the text is no neighbour, nor is it before the first character
    except UnicodeEncodeError:
        return tokens_by_class(text, case_sensitive=case_sensitive)
    if codec is _CODEC and len(raw.translate(None, _OTHERS)) < len(raw):
        return tokens_by_class(text, case_sensitive=case_sensitive)
    cut = bytearray(raw.translate(_CASED if case_sensitive else _LOWERED))
    joined, find = _JOINED, raw.find
    for joiner, joins in joiners:
        at = find(joiner)
        while at >= 0:
            kind = joined[raw[at + 1]]
            if kind & joins and kind == joined[raw[at - 1]]:
                cut[at] = joiner
            at = find(joiner, at + 1)
    # A word that is too long covers one of these blocks whole.
    for start in range(0, len(cut) - 127, 128):
        if cut.find(b" ", start, start + 128) < 0:
            return tokens_by_class(text, case_sensitive=case_sensitive)
    found = cut.decode(codec).split()
    return [word for word in found if word.strip("_")] if 0x5F in cut else found


def tokens_by_class(text: str, *, case_sensitive: bool = False) -> list[str]:
    """What :func:`tokens` gives, for any text."""
    if not case_sensitive:
        text = lower(text)
    classes = text.translate(_CLASSES)
    spans = [match.span(1) for match in _WORD.finditer(classes)]
    if all(end - start <= MAX_TOKEN // 2 for start, end in spans):
        return [text[start:end] for start, end in spans if start >= 0]
    return [word for start, end in spans if start >= 0 for word in _cut_long(text, classes, start, end)]


def _cut_long(text: str, classes: str, start: int, end: int) -> Iterator[str]:
    """The word from ``start`` to ``end`` in pieces that fit, each cut as if the text ended with it."""
    while start < end:
        match = _WORD.match(classes, start, start + _fitting(text, start, end))
        if match is None:
            start += 1
        else:
            if match.start(1) >= 0:
                yield text[start : match.end()]
            start = match.end()


def _fitting(text: str, start: int, end: int) -> int:
    """How many characters from ``start`` are at most MAX_TOKEN UTF-16 units."""
    piece = text[start : min(end, start + MAX_TOKEN)]
    units = 0
    for index, char in enumerate(piece):
        units += 1 if char <= "\uffff" else 2
        if units > MAX_TOKEN:
            return index
    return len(piece)


def line(words: Iterable[str]) -> str:
    """Words as one string in which a run of words is a substring: ``" a b c "``."""
    return f" {' '.join(words)} "


def stems(text: str) -> frozenset[str]:
    """The English stems of the words of a text."""
    return frozenset(map(stem, tokens(text)))


@lru_cache(_TEXTS_KEPT)
def token_line(text: str) -> str:
    """The words of a text as :func:`line`; the last texts are remembered, as many conditions ask of one."""
    return line(tokens(text))


@lru_cache(_TEXTS_KEPT)
def token_stems(text: str) -> frozenset[str]:
    """:func:`stems`, remembered likewise."""
    return stems(text)
