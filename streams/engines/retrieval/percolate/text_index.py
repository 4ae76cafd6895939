"""Words of a text: its tokens and their stems, each found out once for all requirements."""

from streams.engines.retrieval.filters.stem import stem
from streams.engines.retrieval.filters.tokens import tokens
from streams.engines.retrieval.percolate.token_index import TokenIndex


class TextIndex:
    """Phrases and stems → the requirements that hold for a string with them."""

    __slots__ = ("_phrases", "_stems")

    def __init__(self) -> None:
        self._phrases: TokenIndex | None = None
        self._stems: dict[str, int] = {}

    @property
    def stemmed(self) -> bool:
        """Whether any requirement asks for a stem."""
        return bool(self._stems)

    def add_phrase(self, phrase: tuple[str, ...], number: int) -> None:
        """Let the requirement ``number`` hold for strings with these tokens one after the other."""
        self._phrases = self._phrases or TokenIndex()
        self._phrases.add(phrase, number)

    def add_stem(self, stem: str, number: int) -> None:
        """Let the requirement ``number`` hold for strings with a word of this stem."""
        self._stems[stem] = number

    def find(self, text: str, found: list[int]) -> None:
        """Append the requirements that hold for a string; one may come twice."""
        words = tokens(text)
        if self._phrases is not None:
            self._phrases.find(words, found)
        if self._stems:
            found.extend(filter(None, map(self._stems.get, set(map(stem, words)))))
