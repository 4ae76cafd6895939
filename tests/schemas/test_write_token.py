import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.headers import SourcePosition
from schemas.write_token import MAX_PARTS, MinPosition, parse_min_position, write_token

positions = st.builds(SourcePosition, st.integers(0, (1 << 31) - 1), st.integers(0, 10**18 - 1))


@given(st.lists(st.integers(0, (1 << 64) - 1), max_size=5), st.lists(positions, min_size=1, max_size=5))
def test_what_is_written_is_read(transactions: list[int], documents: list[SourcePosition]) -> None:
    text = ", ".join([*map(write_token, transactions), *map(str, documents)])
    assert parse_min_position(text) == MinPosition(tuple(transactions), tuple(documents))


@given(st.text(max_size=40))
def test_anything_else_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="neither a write token nor partition:offset"):
        parse_min_position(f"{text}!")


@pytest.mark.parametrize(
    "text", ["", "1", "wt_", "wt_G", "wt_" + "f" * 17, "1:", ":1", "-1:1", "99999999999:1", "1:1,,2:2", "1:٣"]
)
def test_near_misses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither a write token nor partition:offset"):
        parse_min_position(text)


def test_a_list_is_bounded() -> None:
    assert len(parse_min_position(",".join(["1:1"] * MAX_PARTS)).documents) == MAX_PARTS
    with pytest.raises(ValueError, match="64 are allowed"):
        parse_min_position(",".join(["1:1"] * (MAX_PARTS + 1)))
