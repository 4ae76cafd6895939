"""The percolator gives exactly what plain evaluation gives, whatever the batch cut and the population."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.filters.operators import NAMES
from streams.engines.retrieval.percolate.compile import compile_plan
from streams.engines.retrieval.percolate.percolator import Hit, Percolator
from streams.engines.retrieval.percolate.plan import Plan
from streams.engines.retrieval.percolate.reference import check
from streams.engines.retrieval.vectors.embedder import HashingEmbedder

NOW = datetime(2024, 1, 1, tzinfo=UTC)
URIS = ("mixpeek://x@v1/e", "f", HashingEmbedder.URI)

# Loads scikit-learn, which a strategy must not do.
HashingEmbedder().embed(["word"])

words = st.sampled_from(
    ["a", "A", "ab", "aB c", "flu", "Flu shot", "straße", "STRASSE", "", "2024-01-01", "\x00a"]
)
numbers = st.sampled_from([0, 1, 1.0, 2.5, -3, 10**20])
dates = st.sampled_from(["2024-01-01", "2024-01-01T00:00:00Z", "2024-01-01T01:00:00+02:00", "2023-12-31"])
scalars = st.one_of(words, numbers, dates, st.booleans(), st.none())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["x", "y", "x.y"]), inner, max_size=2)
    ),
    max_leaves=5,
)
payloads = st.dictionaries(st.sampled_from(["x", "y", "x.y", "payload", "text"]), values, max_size=4)
fields = st.sampled_from(["x", "y", "x.y", "x.0", "y.x.y", "text", "missing"])
lists = st.lists(scalars, max_size=3)


def condition(operator: str, value: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"field": fields, "operator": st.just(operator), "value": value, "case_sensitive": st.booleans()}
    )


conditions = st.one_of(
    *(condition(name, st.one_of(scalars, lists)) for name in ("eq", "ne")),
    *(condition(name, lists) for name in ("in", "nin")),
    *(condition(name, st.one_of(words, numbers, dates)) for name in ("gt", "gte", "lt", "lte")),
    condition("contains", st.one_of(words, numbers, st.booleans())),
    *(condition(name, words) for name in ("starts_with", "ends_with", "text")),
    condition("regex", st.sampled_from(["a+b", "^f", "s$", "."])),
    *(condition(name, st.sampled_from(["a", "flu shot", "Flu", "shots"])) for name in ("phrase", "words")),
    *(condition(name, st.booleans()) for name in ("exists", "is_null")),
)
filters = st.recursive(
    conditions,
    lambda inner: st.dictionaries(st.sampled_from(["AND", "OR", "NOT"]), st.lists(inner, max_size=3), min_size=1),
    max_leaves=6,
)

components = st.integers(-2, 2).map(float)
vectors = st.lists(components, min_size=2, max_size=3)
searches = st.one_of(
    st.fixed_dictionaries(
        {
            "feature_uri": st.sampled_from(URIS[:2]),
            "query": vectors.filter(any),
            "min_score": st.sampled_from([None, 0, 0.3, 0.5, 0.707107, 1]),
            "weight": st.sampled_from([0.25, 1]),
            "optional": st.booleans(),
        }
    ),
    st.fixed_dictionaries(
        {
            "feature_uri": st.just(URIS[2]),
            "query": st.sampled_from(["flu", "flu shot", "ab"]),
            "min_score": st.sampled_from([0, 0.5, 1]),
        }
    ),
)
thresholds = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {
            "field": st.sampled_from(["score", "x"]),
            "operator": st.sampled_from(["gt", "gte", "lt", "ne"]),
            "value": st.sampled_from([0, 0.5, 1]),
        }
    ),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan | None:
    """A plan, or nothing where the definition is one that is refused."""
    stages = []
    if draw(st.booleans()):
        stages.append({"config": {"stage_id": "attribute_filter", "parameters": {"conditions": draw(filters)}}})
    if draw(st.booleans()):
        found = draw(st.lists(searches, min_size=1, max_size=3))
        parameters = {"searches": found, "fusion": draw(st.sampled_from(["weighted", "max"]))}
        stages.append({"config": {"stage_id": "feature_search", "parameters": parameters}})
    try:
        return compile_plan({"stages": stages}, {"threshold": draw(thresholds)})
    except PlanError:
        return None


@st.composite
def documents(draw: st.DrawFn) -> DocumentEvent:
    features = draw(st.dictionaries(st.sampled_from([*URIS[:2], "e", "x_v1_e"]), vectors, max_size=2))
    return DocumentEvent(
        "document.upserted",
        "ns",
        "col",
        "doc",
        NOW,
        payload=draw(st.one_of(payloads, values)),
        text=draw(st.one_of(st.none(), words)),
        features={name: np.array(vector, dtype=np.float32) for name, vector in features.items()},
    )


def plain(alerts: list[Plan], document: DocumentEvent) -> list[Hit[Plan]]:
    verdicts = [(plan, check(plan, document)) for plan in alerts]
    return [Hit(plan, v.score, v.matched_features, v.reason) for plan, v in verdicts if v is not None]


@settings(max_examples=200, deadline=None)
@given(st.lists(plans(), max_size=8), st.lists(documents(), max_size=6))
def test_equals_plain_evaluation(drawn: list[Plan | None], events: list[DocumentEvent]) -> None:
    alerts = [plan for plan in drawn if plan is not None]
    percolator = Percolator(alerts, lambda plan: plan)
    expected = [plain(alerts, event) for event in events]
    assert percolator.match(events) == expected
    assert [percolator.match([event])[0] for event in events] == expected


def filter_plan(conditions_: Any) -> Plan:
    stage = {"stage_id": "attribute_filter", "parameters": {"conditions": conditions_, "case_insensitive": True}}
    return compile_plan({"stages": [{"config": stage}]}, {})


def test_every_operator_on_every_value() -> None:
    """All conditions on one field at once, alone and inside AND and OR, on every value and lists of them."""
    pool = [
        "a",
        "A",
        "ab",
        "aB c",
        "Flu shot",
        "straße",
        "STRASSE",
        "",
        "\x00a",
        "1",
        0,
        1,
        1.0,
        2.5,
        -3,
        True,
        False,
    ]
    pool += ["2024-01-01", "2024-01-01T01:00:00+02:00", "2023-12-31", "2024-01-01T00:00:00.5Z"]
    operands: dict[str, list[Any]] = dict.fromkeys(NAMES, pool)
    operands |= {name: [*pool, ["a", 1]] for name in ("eq", "ne", "contains")}
    operands |= {name: [[], ["A"], [1, "ab"], [None], [["a", 1]], pool] for name in ("in", "nin")}
    operands |= {name: [True, False] for name in ("exists", "is_null")}
    alerts: list[Plan] = []
    for operator, values_ in operands.items():
        for value in values_:
            for sensitive in (False, True):
                raw = {"field": "x", "operator": operator, "value": value, "case_sensitive": sensitive}
                try:
                    alerts.append(filter_plan(raw))
                except PlanError:
                    continue
                alerts.append(filter_plan({"AND": [raw, {"y": 1}]}))
                alerts.append(filter_plan({"OR": [raw, {"y": 2}]}))
                alerts.append(filter_plan({"NOT": [raw]}))
    payloads_: list[dict[str, Any]] = [{"x": value, "y": 1} for value in (*pool, None, [], {"a": 1})]
    payloads_ += [{"x": [value, "zz"]} for value in pool] + [{"x": [["a", 1]], "y": 2}, {"y": 1}, {"z": 1}]
    events = [DocumentEvent("document.upserted", "ns", "c", "d", NOW, payload=payload) for payload in payloads_]
    expected = [plain(alerts, event) for event in events]
    assert Percolator(alerts, lambda plan: plan).match(events) == expected


@dataclass(frozen=True)
class Standing:
    number: int
    plan: Plan


def vector_plan(vector: Any, minimum: float, uri: str = "f") -> Plan:
    search = {"feature_uri": uri, "query": [float(item) for item in vector], "min_score": minimum}
    return compile_plan(
        {"stages": [{"config": {"stage_id": "feature_search", "parameters": {"searches": [search]}}}]}, {}
    )


def vector_event(vector: Any) -> DocumentEvent:
    return DocumentEvent(
        "document.upserted", "ns", "col", "d", NOW, features={"f": np.asarray(vector, np.float32)}
    )


def outcome(found: list[list[Hit[Standing]]]) -> list[list[tuple[int, str]]]:
    return [[(hit.alert.number, hit.score.hex()) for hit in hits] for hits in found]


@pytest.mark.parametrize("dimensions", [1, 3, 384, 1024])
def test_scores_do_not_depend_on_cuts_or_population(dimensions: int) -> None:
    """Thresholds are set on the exact scores of some documents, so a last bit would change who matches."""
    chance = np.random.default_rng(dimensions)
    queries = chance.normal(size=(60, dimensions))
    events = [vector_event(chance.normal(size=dimensions) + queries[n % 60]) for n in range(90)]
    alerts = []
    for number, query in enumerate(queries):
        probe = check(vector_plan(query, 0.0), events[number])
        minimum = 0.0 if probe is None else probe.score
        alerts.append(Standing(number, vector_plan(query, minimum)))
    whole = Percolator(alerts, lambda alert: alert.plan)
    expected = outcome(whole.match(events))
    # Each document meets the alert whose threshold is its own score, unless it points away from it.
    own = [number for number in range(60) if number in {hit[0] for hit in expected[number]}]
    assert own == [number for number in range(60) if check(alerts[number].plan, events[number]) is not None]
    assert len(own) > 30
    for cut in (1, 2, 7, 64):
        parts = [hits for start in range(0, 90, cut) for hits in whole.match(events[start : start + cut])]
        assert outcome(parts) == expected
    for size in (1, 2, 5, 31):
        some = Percolator(alerts[-size:], lambda alert: alert.plan)
        kept = {alert.number for alert in alerts[-size:]}
        assert outcome(some.match(events)) == [[hit for hit in hits if hit[0] in kept] for hits in expected]


def test_a_vector_meets_itself_at_one() -> None:
    chance = np.random.default_rng(1)
    for scale in (1e-20, 1.0, 1e30):
        vector = (chance.normal(size=384) * scale).astype(np.float32)
        assert len(Percolator([vector_plan(vector, 1.0)], lambda plan: plan).match([vector_event(vector)])[0]) == 1


def test_hits_come_in_the_order_of_the_alerts() -> None:
    raw = {"stages": [{"config": {"stage_id": "attribute_filter", "parameters": {"field": "x", "value": "a"}}}]}
    by_filter = [Standing(number, compile_plan(raw, {})) for number in (5, 1, 3)]
    by_vector = [Standing(number, vector_plan([1, 0], 0.5)) for number in (4, 2)]
    alerts = [by_filter[0], by_vector[0], by_filter[1], by_vector[1], by_filter[2]]
    event = DocumentEvent(
        "document.upserted", "ns", "col", "d", NOW, payload={"x": "a"}, features={"f": np.ones(2, np.float32)}
    )
    hits = Percolator(alerts, lambda alert: alert.plan).match([event])[0]
    assert [hit.alert.number for hit in hits] == [5, 4, 1, 2, 3]


def test_alerts_that_cannot_match_are_not_evaluated() -> None:
    """Ten thousand equality, substring and range alerts: what is nominated grows with matches only."""
    plans_: list[Plan] = []
    for number in range(3_000):
        for operator, value in (("eq", f"v{number}"), ("contains", f"needle{number:05}"), ("gt", number + 10)):
            stage = {
                "stage_id": "attribute_filter",
                "parameters": {"field": "x", "operator": operator, "value": value},
            }
            plans_.append(compile_plan({"stages": [{"config": stage}]}, {}))
    percolator = Percolator(plans_, lambda plan: plan)
    event = DocumentEvent(
        "document.upserted", "ns", "col", "d", NOW, payload={"x": ["v7", "a needle00042 in hay", 12]}
    )
    hits = percolator.match([event])[0]
    # v7; the needle is an element of a list, which contains compares whole; greater than 10 and 11.
    assert [plan.reason for plan in (hit.alert for hit in hits)] == ["x gt 10", "x gt 11", 'x eq "v7"']
    assert len(percolator._nominated(percolator.begin([event]), len(plans_))) == 3
