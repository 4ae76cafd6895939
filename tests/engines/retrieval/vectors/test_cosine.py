"""Scores are rounded as Python rounds a float, all at once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.retrieval.vectors.cosine import DIGITS, rounded

_half_way = st.integers(-1_000_001, 1_000_000).map(lambda steps: (steps + 0.5) / 10**DIGITS)
_next_to_half_way = st.builds(np.nextafter, _half_way, st.sampled_from((-2.0, 2.0))).map(float)


@given(st.lists(st.floats(-1.000001, 1.000001) | _half_way | _next_to_half_way))
def test_it_rounds_as_python_does(values: list[float]) -> None:
    wanted = np.array([round(value, DIGITS) for value in values], dtype=np.float64)
    assert rounded(np.array(values, dtype=np.float64)).tobytes() == wanted.tobytes()
