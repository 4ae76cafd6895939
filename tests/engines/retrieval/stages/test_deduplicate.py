from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.retrieval.stages.deduplicate import Parameters, deduplicate, similarity, words_of
from streams.engines.retrieval.stages.stage import Row
from tests.engines.retrieval.stages.rows import row

TEXTS = st.one_of(
    st.none(),
    st.lists(st.sampled_from(["flu", "Flu", "in", "london", "paris", "東京"]), max_size=8).map(" ".join),
    st.sampled_from(["", "!!!", "..."]),
)


def kept(rows: list[Row], **parameters: Any) -> list[str]:
    return [one.document_id for one in deduplicate(rows, Parameters.model_validate(parameters))]


def naive(rows: list[Row], threshold: float, keep: str, case_sensitive: bool) -> list[str]:
    """Every row against every kept one."""
    chosen: list[Row] = []
    for one in rows if keep == "first" else reversed(rows):
        if not any(_same(one.fields["t"], other.fields["t"], threshold, case_sensitive) for other in chosen):
            chosen.append(one)
    ids = {one.document_id for one in chosen}
    return [one.document_id for one in rows if one.document_id in ids]


def _same(left: str | None, right: str | None, threshold: float, case_sensitive: bool) -> bool:
    if left is None or right is None:
        return left is right
    one, other = (words_of(text, case_sensitive=case_sensitive) for text in (left, right))
    if not one or not other:
        return left == right
    return similarity(one, other) >= threshold


@given(
    st.lists(TEXTS, max_size=12),
    st.sampled_from([0.0, 0.3, 0.5, 0.75, 0.95, 1.0]),
    st.sampled_from(["first", "last"]),
    st.booleans(),
)
def test_content_is_compared_as_every_pair_would_be(
    texts: list[str | None], threshold: float, keep: str, case_sensitive: bool
) -> None:
    rows = [row(str(at), t=text) for at, text in enumerate(texts)]
    parameters = {"similarity_threshold": threshold, "keep": keep, "case_sensitive": case_sensitive}
    found = kept(rows, strategy="content", content_field="t", **parameters)
    assert found == naive(rows, threshold, keep, case_sensitive)


def test_fields_are_compared_together() -> None:
    rows = [
        row("a", u="x", n=1),
        row("b", u="X", n=1.0),
        row("c", u="x", n=True),
        row("d", u="x", n=1),
        row("e", n=1),
        row("f", u=None, n=1),
    ]
    assert kept(rows, fields=["u", "n"]) == ["a", "b", "c", "e"]
    assert kept(rows, fields=["u", "n"], case_sensitive=False) == ["a", "c", "e"]
    assert kept(rows, fields=["u", "n"], keep="last") == ["b", "c", "d", "f"]


def test_near_copies_go_and_others_stay() -> None:
    text = " ".join(f"word{at}" for at in range(100))
    rows = [row("a", content=text), row("b", content=text + " more"), row("c", content=text[:300])]
    assert kept(rows, strategy="content") == ["a", "c"]
    assert kept(rows, strategy="content", similarity_threshold=1) == ["a", "b", "c"]


def test_thousands_of_texts() -> None:
    rows = [
        row(str(at), content=f"report {at % 4000} of station {at % 7} about w{at % 4000}") for at in range(5_000)
    ]
    assert len(kept(rows, strategy="content", similarity_threshold=1)) == 5_000
    assert len(kept(rows, strategy="content", similarity_threshold=0.7)) == 4_000


def test_the_field_strategy_needs_fields() -> None:
    with pytest.raises(ValueError, match="needs fields"):
        Parameters.model_validate({})
