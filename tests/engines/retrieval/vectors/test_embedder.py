"""The built-in embedder has the same bytes whatever the batch cut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.retrieval.vectors.embedder import HashingEmbedder, document_text

TEXTS = st.lists(st.text(alphabet="ab cdé.流感", max_size=40), max_size=12)


@given(TEXTS, st.integers(0, 12))
def test_bytes_do_not_depend_on_the_cut(texts: list[str], cut: int) -> None:
    embedder = HashingEmbedder()
    whole = embedder.embed(texts)
    parts = np.concatenate([embedder.embed(texts[:cut]), HashingEmbedder().embed(texts[cut:])])
    assert whole.dtype == np.float32
    assert whole.shape == (len(texts), HashingEmbedder.DIMENSIONS)
    assert whole.tobytes() == parts.tobytes()


def test_rows_have_length_one_or_zero() -> None:
    lengths = np.linalg.norm(
        HashingEmbedder().embed(["flu outbreak in school", "", "a b .", "x" * 10_000]), axis=1
    )
    np.testing.assert_allclose(lengths, [1, 0, 0, 1], atol=1e-6)


def test_same_words_are_near() -> None:
    one, two, other = HashingEmbedder().embed(["Ebola outbreak in Liberia", "ebola outbreak", "weight loss tips"])
    assert one @ two > 0.6
    assert abs(one @ other) < 0.3


def test_document_text() -> None:
    assert document_text("own", {"text": "payload"}) == "own"
    assert document_text(None, {"text": "payload"}) == "payload"
    assert document_text("", {"text": "payload"}) == ""
    assert document_text(None, {"text": 3}) == document_text(None, [1]) == document_text(None, None) == ""
