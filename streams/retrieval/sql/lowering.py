"""Lower case as the engine has it, in SQL: PostgreSQL's own ``lower`` follows another table of characters, and on
every server another language.

In the language "C" it changes ASCII letters and nothing else. ``translate`` maps the other code points that it is
told: those whose lower case is in the text that is looked for; any other differs from all of it before and after.
"""

from functools import cache

from streams.engines.retrieval.filters.values import lower
from streams.retrieval.sql.parameters import Parameters

_LAST_CASED = 0x1FFFF
"""No code point above it has a lower case."""


@cache
def capitals() -> dict[str, str]:
    """Small letter → the other characters whose lower case it is."""
    found: dict[str, str] = {}
    for code in range(_LAST_CASED + 1):
        character = chr(code)
        small = lower(character)
        if small != character:
            found[small] = found.get(small, "") + character
    return found


def lowered(text: str, wanted: str, parameters: Parameters) -> str:
    """``text`` (SQL) made to equal or contain ``wanted``, which is lower case, where its lower case does."""
    return _translated(text, sorted(set(wanted)), parameters)


def lowered_all(text: str, parameters: Parameters) -> str:
    """``text`` (SQL) in lower case, which takes a thousand comparisons for each character unless all are ASCII."""
    return _translated(text, sorted(capitals()), parameters)


def _translated(text: str, small: list[str], parameters: Parameters) -> str:
    pairs = [(capital, one) for one in small for capital in capitals().get(one, "")]
    if not pairs:
        return text
    ascii_only = f'lower({text} COLLATE "C")'
    rest = [pair for pair in pairs if not pair[0].isascii()]
    if not rest:
        return ascii_only
    capital, targets = parameters.text("".join(pair[0] for pair in rest)), "".join(pair[1] for pair in rest)
    whole = f"translate({ascii_only}, {capital}, {parameters.text(targets)})"
    return f"CASE WHEN octet_length({text}) = char_length({text}) THEN {ascii_only} ELSE {whole} END"
