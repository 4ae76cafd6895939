"""Regular expressions that cannot hang a worker: RE2, whose time is linear in the text.

R. Cox, "Regular Expression Matching in the Wild" (2010), swtch.com/~rsc/regexp/regexp3.html.
"""

from functools import cache
from typing import Any, Final

import re2

from streams.engines.retrieval.filters.values import OperandError

MAX_PATTERN: Final = 2_000
"""Characters of a pattern."""
MAX_PROGRAM_BYTES: Final = 1 << 20
"""Memory one compiled pattern, with the states it finds while it runs, may take."""

_HINTS: Final = (
    (
        ("(?=", "(?!", "(?<=", "(?<!"),
        "look-around needs unbounded time; say it with AND and NOT of several conditions",
    ),
    (
        ("\\1", "\\2", "\\3", "\\4", "\\5", "\\6", "\\7", "\\8", "\\9", "operator: (?P"),
        "back-references need unbounded time",
    ),
    (("\\Z",), "the end of the text is \\z"),
    (("(?>", "++", "*+", "?+", "}+"), "there is no backtracking to switch off; use the plain form"),
    (
        ("repetition size", "too large"),
        f"counts go to 1000 and the program to {MAX_PROGRAM_BYTES >> 20} MiB; ask for less",
    ),
)


class Pattern(str):
    """A pattern with its compiled program; equal to the string it is."""

    __slots__ = ("_search",)

    def __new__(cls, text: str, *, case_sensitive: bool) -> "Pattern":
        """Compile. Raises :class:`OperandError` with the reason and what to write instead."""
        if len(text) > MAX_PATTERN:
            raise OperandError(f"a pattern has at most {MAX_PATTERN} characters, found {len(text)}")
        pattern = super().__new__(cls, text)
        try:
            pattern._search = re2.compile(text, _options(case_sensitive)).search
        except re2.error as error:
            raise OperandError(_explain(error)) from error
        return pattern

    _search: Any

    def found_in(self, text: str) -> bool:
        """Whether some part of the text fits. ``.`` stops at a newline, ``$`` is the end of the text, classes
        such as ``\\w`` are ASCII and ``\\pL`` is a letter."""
        try:
            return self._search(text.encode()) is not None
        except UnicodeEncodeError:  # half of a surrogate pair is no character
            return False


@cache
def _options(case_sensitive: bool) -> Any:
    options = re2.Options()
    options.case_sensitive = case_sensitive
    options.log_errors = False
    # Only whether there is a match is asked: an automaton tells, groups would need a slower one.
    options.never_capture = True
    options.max_mem = MAX_PROGRAM_BYTES
    return options


def _explain(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    hint = next((hint for signs, hint in _HINTS if any(sign in text for sign in signs)), None)
    return f"not a regular expression of RE2: {text}" + (f" ({hint})" if hint else "")
