"""Lower case as the engine has it, in SQL: PostgreSQL's own ``lower`` follows another table of characters, and on
every server another language.

``translate`` maps the code points it is told, whatever the server's language. It is told those whose lower case is
in the text that is looked for: any other character differs from all of it before and after.
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
    table = capitals()
    small = sorted(character for character in set(wanted) if character in table)
    return _translated(text, small, parameters)


def lowered_all(text: str, parameters: Parameters) -> str:
    """``text`` (SQL) in lower case, which takes a thousand comparisons for each character that is not ASCII."""
    ascii_only = _translated(text, [chr(code) for code in range(ord("a"), ord("z") + 1)], parameters)
    whole = _translated(text, sorted(capitals()), parameters)
    return f"CASE WHEN octet_length({text}) = char_length({text}) THEN {ascii_only} ELSE {whole} END"


def _translated(text: str, small: list[str], parameters: Parameters) -> str:
    if not small:
        return text
    table = capitals()
    capital = "".join(table[character] for character in small)
    targets = "".join(character * len(table[character]) for character in small)
    return f"translate({text}, {parameters.text(capital)}, {parameters.text(targets)})"
