import re

from hypothesis import given
from hypothesis import strategies as st

from streams.retrieval.sifting import searcher

LETTERS = st.text("aAbß*", max_size=8)


@given(LETTERS, st.text("aAbß", max_size=12))
def test_a_search_is_a_substring_or_what_its_wildcards_say(search: str, text: str) -> None:
    parts = [re.escape(part) for part in search.casefold().split("*")]
    pattern = re.compile(".*".join(parts), re.DOTALL)
    expected = (pattern.fullmatch if len(parts) > 1 else pattern.search)(text.casefold()) is not None
    assert searcher(search)(text) is expected


def test_many_wildcards_cost_no_more_than_the_text() -> None:
    assert not searcher("*a" * 500 + "*b")("a" * 100_000)
