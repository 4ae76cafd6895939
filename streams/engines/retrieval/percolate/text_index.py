"""Words of a text: its tokens and their stems, each found out once for all requirements."""

from collections.abc import Set as AbstractSet

from streams.engines.retrieval.filters.stem import stem
from streams.engines.retrieval.filters.tokens import stems, tokens
from streams.engines.retrieval.percolate.token_index import TokenIndex


class TextIndex:
    """Phrases and stems → the requirements that hold for a string with them."""

    __slots__ = ("_exact", "_exact_stems", "_folded", "_folded_stems")

    def __init__(self) -> None:
        self._exact: TokenIndex | None = None
        self._folded: TokenIndex | None = None
        self._exact_stems: dict[str, int] = {}
        self._folded_stems: dict[str, int] = {}

    def __bool__(self) -> bool:
        return self._folded is not None or self._exact is not None or self.stemmed

    @property
    def stemmed(self) -> bool:
        """Whether any requirement asks for a stem."""
        return bool(self._folded_stems or self._exact_stems)

    def add_phrase(self, phrase: tuple[str, ...], case_sensitive: bool, number: int) -> None:
        """Let the requirement ``number`` hold for strings with these tokens one after the other."""
        if case_sensitive:
            self._exact = self._exact or TokenIndex()
            self._exact.add(phrase, number)
        else:
            self._folded = self._folded or TokenIndex()
            self._folded.add(phrase, number)

    def add_stem(self, stem: str, case_sensitive: bool, number: int) -> None:
        """Let the requirement ``number`` hold for strings with a word of this stem."""
        held = self._exact_stems if case_sensitive else self._folded_stems
        held[stem] = number

    def find(self, text: str, found: list[int]) -> None:
        """Append the requirements that hold for a string; one may come twice."""
        if self._folded is not None or self._folded_stems:
            folded = tokens(text)
            if self._folded is not None:
                self._folded.find(folded, found)
            if self._folded_stems:
                _find_stems(self._folded_stems, set(map(stem, folded)), found)
        if self._exact is not None:
            self._exact.find(tokens(text, case_sensitive=True), found)
        if self._exact_stems:
            _find_stems(self._exact_stems, stems(text, case_sensitive=True), found)


def _find_stems(held: dict[str, int], present: AbstractSet[str], found: list[int]) -> None:
    found.extend(filter(None, map(held.get, present)))
