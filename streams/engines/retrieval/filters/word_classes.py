"""What each character is to the cutting of words: its Word_Break class, and the scripts without spaces.

Unicode Standard Annex 29, "Unicode Text Segmentation", table 3; properties as of the ``uniseg`` package.
"""

from typing import Final

from uniseg.emoji import extended_pictographic
from uniseg.linebreak import LineBreak, line_break
from uniseg.wordbreak import WordBreak, word_break

_LETTERS: Final = {
    WordBreak.ALETTER: "A",
    WordBreak.HEBREW_LETTER: "H",
    WordBreak.NUMERIC: "N",
    WordBreak.KATAKANA: "K",
    WordBreak.EXTENDNUMLET: "_",
    WordBreak.SINGLE_QUOTE: "q",
    WordBreak.DOUBLE_QUOTE: "Q",
    WordBreak.MIDNUMLET: ".",
    WordBreak.MIDLETTER: ":",
    WordBreak.MIDNUM: ";",
    WordBreak.REGIONAL_INDICATOR: "R",
    WordBreak.FORMAT: "e",
    WordBreak.EXTEND: "e",
    WordBreak.ZWJ: "z",
}
# Of the scripts Han and Hiragana what is no ALetter and no Extend: each character is a word.
_SINGLE: Final = (
    *((0x2E80, 0x2E99), (0x2E9B, 0x2EF3), (0x2F00, 0x2FD5), (0x3007, 0x3007), (0x3021, 0x3029), (0x3038, 0x303B)),
    *((0x3041, 0x3096), (0x309D, 0x309F), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFA6D), (0xFA70, 0xFAD9)),
    *((0x16FE2, 0x16FE3), (0x16FF0, 0x16FF1), (0x1B001, 0x1B11F), (0x1B132, 0x1B132), (0x1B150, 0x1B152)),
    *((0x1F200, 0x1F200), (0x20000, 0x2FA1F), (0x30000, 0x323AF)),
)
_KEYCAP: Final = 0x20E3


def word_class(code: int) -> str:
    """One letter for a code point.

    ``A`` letter, ``H`` Hebrew letter, ``N`` digit, ``K`` Katakana, ``_`` ExtendNumLet, ``q`` and ``Q`` single and
    double quote, ``.`` ``:`` ``;`` what joins letters and digits, letters, digits; ``e`` Extend and Format,
    ``z`` the zero-width joiner, ``T`` the keycap; ``S`` and ``s`` the letters and marks of scripts whose words
    need a dictionary (Thai, Lao, Khmer, Myanmar …); ``I`` Han and Hiragana; ``P`` pictograph, ``R`` regional
    indicator, ``k`` what a keycap may follow; a space for all else.
    """
    char = chr(code)
    found = _LETTERS.get(word_break(char))
    if found == "e":
        if code == _KEYCAP:
            return "T"
        return "s" if line_break(char) == LineBreak.SA else "e"
    if found is not None:
        return found
    if line_break(char) == LineBreak.SA:
        return "S"
    if any(first <= code <= last for first, last in _SINGLE):
        return "I"
    if extended_pictographic(char):
        return "P"
    return "k" if char in "#*" else " "


class WordClasses(dict[int, str]):
    """Classes by code point, for ``str.translate``; found out when first asked for."""

    def __missing__(self, code: int) -> str:
        found = self[code] = word_class(code)
        return found
