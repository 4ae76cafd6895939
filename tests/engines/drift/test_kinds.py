"""Every metric on every kind of series: what it sees, what it is not for, and that sample sizes do not show."""

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.drift.metrics import METRICS, find_metric, measure
from streams.engines.drift.series import (
    AnySketch,
    SeriesKind,
    empty_sketch,
    kind_of,
    merge_bytes,
    sketch_from_bytes,
)
from streams.engines.drift.sketch import Sketch, SketchError, merge_all

Draw = Callable[[np.random.Generator, int, float], Any]


def vectors(rng: np.random.Generator, n: int, change: float) -> Any:
    rows = rng.normal(size=(n, 32))
    rows[:, 0] += 4 * (1 - change)
    rows[:, 1] += 4 * change
    return rows


def lengths(rng: np.random.Generator, n: int, change: float) -> Any:
    return rng.lognormal(2 + change, 1, size=n)


def few(rng: np.random.Generator, n: int, change: float) -> Any:
    return rng.poisson(2 + 2 * change, size=n)


def languages(rng: np.random.Generator, n: int, change: float) -> Any:
    shares = np.array([0.5 - 0.4 * change, 0.3, 0.1 + 0.4 * change, 0.1])
    return rng.choice(["en", "de", "fr", "it"], size=n, p=shares).tolist()


def authors(rng: np.random.Generator, n: int, change: float) -> Any:
    """Many more values than have a count of their own."""
    return [f"a{int(value)}" for value in rng.zipf(1.3, size=n) + round(change * 3)]


SERIES: dict[str, tuple[SeriesKind, Draw]] = {
    "vectors": ("embedding", vectors),
    "lengths": ("number", lengths),
    "few numbers": ("number", few),
    "languages": ("category", languages),
    "authors": ("category", authors),
}
CASES = [
    (metric, name) for metric in METRICS for name, (kind, _) in SERIES.items() if kind in METRICS[metric].kinds
]


def filled(kind: SeriesKind, values: Any) -> AnySketch:
    """A sketch of values in three dimensions or of none."""
    sketch: Any = empty_sketch(kind, 3)
    return cast(AnySketch, sketch.add(values))


def sketch(name: str, rng: np.random.Generator, n: int, change: float = 0.0) -> AnySketch:
    kind, draw = SERIES[name]
    return empty_sketch(kind, 32).add(draw(rng, n, change))


def value(metric: str, baseline: AnySketch, current: AnySketch) -> float:
    measurement = measure(metric, baseline, current, min_sample=2)
    assert measurement.value is not None, measurement.reason
    return measurement.value


@pytest.mark.parametrize(("metric", "name"), CASES)
def test_no_change_reads_about_zero_and_a_change_grows(metric: str, name: str) -> None:
    rng = np.random.default_rng(1)
    still = [value(metric, sketch(name, rng, 150), sketch(name, rng, 150)) for _ in range(60)]
    if not METRICS[metric].squared:
        still = [reading * abs(reading) for reading in still]
    error = float(np.std(still)) / math.sqrt(len(still))
    readings = [value(metric, sketch(name, rng, 5_000), sketch(name, rng, 5_000, by)) for by in (0.0, 0.4, 0.8)]
    assert abs(float(np.mean(still))) < max(4.5 * error, 0.02 * readings[2])
    assert abs(readings[0]) < readings[1] < readings[2]


# What psi says of values that vanish wholly, as most of the authors do, grows with the logarithm of the samples.
@pytest.mark.parametrize(("metric", "name"), [case for case in CASES if case != ("psi", "authors")])
def test_a_change_reads_the_same_whatever_the_sample_size(metric: str, name: str) -> None:
    rng = np.random.default_rng(2)
    large = [value(metric, sketch(name, rng, 4_000), sketch(name, rng, 4_000, 0.8)) for _ in range(5)]
    small = [value(metric, sketch(name, rng, 400), sketch(name, rng, 120, 0.8)) for _ in range(30)]
    error = float(np.std(small)) / math.sqrt(len(small)) + float(np.std(large)) / math.sqrt(len(large))
    assert abs(float(np.mean(small)) - float(np.mean(large))) < 5 * error + 0.12 * float(np.mean(large))


@given(st.sampled_from(CASES), st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(2, 40))
def test_every_reading_is_finite_symmetric_and_in_words(case: tuple[str, str], seed: int, n: int, m: int) -> None:
    metric, name = case
    rng = np.random.default_rng(seed)
    one, other = sketch(name, rng, n), sketch(name, rng, m, 0.5)
    there, back = (measure(metric, *both, min_sample=2) for both in ((one, other), (other, one)))
    assert there.insufficient == back.insufficient == (there.value is None)
    assert there.reason
    if there.value is not None and back.value is not None:
        assert math.isfinite(there.value)
        assert math.isclose(there.value, back.value, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize("metric", sorted(METRICS))
@pytest.mark.parametrize("kind", ["embedding", "number", "category"])
def test_samples_without_any_spread_have_a_reading_or_say_why_not(metric: str, kind: SeriesKind) -> None:
    if kind not in METRICS[metric].kinds:
        return
    constant: dict[SeriesKind, tuple[Any, Any]] = {
        "embedding": (np.ones((20, 3)), np.array([[1.0, -1.0, 0.5]] * 20)),
        "number": ([5.0] * 20, [6.0] * 20),
        "category": (["a"] * 20, ["b"] * 20),
    }
    one, other = (filled(kind, values) for values in constant[kind])
    assert abs(value(metric, one, one)) < 0.01
    assert value(metric, one, other) > 0.3
    if kind == "embedding":
        zeros = filled(kind, np.zeros((20, 3)))
        measured = measure(metric, zeros, zeros, min_sample=2)
        assert measured.value is None or abs(measured.value) < 0.01


@pytest.mark.parametrize(
    ("metric", "kind", "message"),
    [
        ("cosine_drift", "number", "does not apply to numbers; metrics that do: js, ks, mmd, psi, wasserstein"),
        ("ks", "category", "does not apply to categories; metrics that do: cosine_drift, js, mmd, psi"),
        ("wasserstein", "category", "does not apply to categories"),
    ],
)
def test_a_metric_says_what_it_is_not_for(metric: str, kind: SeriesKind, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_metric(metric, kind)
    with pytest.raises(ValueError, match=message):
        measure(metric, empty_sketch(kind), empty_sketch(kind), min_sample=2)


def test_kinds_do_not_mix() -> None:
    numbers, words = filled("number", [1.0, 2.0]), filled("category", ["a", "b"])
    measured = measure("psi", numbers, words, min_sample=2)
    assert measured.insufficient
    assert "holds numbers and the current window categories" in measured.reason


def test_every_kind_has_an_empty_sketch_that_reads_back() -> None:
    kinds: tuple[SeriesKind, ...] = ("embedding", "number", "category")
    for kind in kinds:
        empty = empty_sketch(kind, 4)
        back = sketch_from_bytes(empty.to_bytes())
        assert (back.count, kind_of(back)) == (0, kind)
        assert back.emptied().to_bytes() == empty.to_bytes()
        assert filled(kind, np.zeros((0, 3)) if kind == "embedding" else []).count == 0
    with pytest.raises(SketchError, match="dimensions"):
        empty_sketch("embedding")


def test_some_numbers_far_out_show_in_wasserstein_only() -> None:
    rng = np.random.default_rng(3)
    one = filled("number", rng.normal(size=500))
    other = filled("number", np.append(rng.normal(size=485), [1e4] * 15))
    assert value("wasserstein", one, other) > 100
    for metric in ("psi", "js", "ks", "mmd"):
        assert value(metric, one, other) < 0.1


NARROW, WIDE = st.floats(-8, 8), st.floats(-1e20, 1e20)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from((NARROW, WIDE)), st.integers(0, 99)), max_size=6),
    st.data(),
)
def test_rows_unpacked_together_are_to_the_bit_what_they_are_one_by_one(
    rows: list[tuple[int, st.SearchStrategy[float], int]], data: st.DataObject
) -> None:
    """Few documents and many, sums of whole units and of floats beyond, in one bucket."""
    stored: list[bytes] = []
    for count, values, seed in rows:
        scale = data.draw(values)
        drawn = np.random.default_rng(seed).normal(size=(count, 3)) * scale
        stored.append(Sketch.empty(3).add(drawn.astype(np.float32)).to_bytes())
    together, one_by_one = merge_bytes(stored), merge_all(Sketch.from_bytes(row) for row in stored)
    if together is None or one_by_one is None:
        assert together is one_by_one
        assert not stored
        return
    assert isinstance(together, Sketch)
    assert (together.count, together.squares) == (one_by_one.count, one_by_one.squares)
    assert together.total.tobytes() == one_by_one.total.tobytes()
    assert together.cells.tobytes() == one_by_one.cells.tobytes()


def test_rows_unpacked_together_round_where_one_by_one_do() -> None:
    """Sums that no longer fit a float are rounded after each row."""
    row = Sketch.empty(1).add(np.array([[2.0**28], [2.0**-24]])).to_bytes()
    for count in range(2, 9):
        together, one_by_one = merge_bytes([row] * count), merge_all([Sketch.from_bytes(row)] * count)
        assert isinstance(together, Sketch)
        assert one_by_one is not None
        assert together.total.tobytes() == one_by_one.total.tobytes()


def test_rows_unpacked_together_are_refused_as_one_by_one() -> None:
    good = Sketch.empty(3).add(np.ones((4, 3))).to_bytes()
    other = Sketch.empty(2).add(np.ones((4, 2))).to_bytes()
    number = empty_sketch("number").to_bytes()
    for rows in ([good, other], [good, number], [good, good[:-1]], [good, good + b"x"], [good, b""]):
        with pytest.raises(SketchError):
            merge_bytes(rows)
    assert merge_bytes([number, number]) is not None
