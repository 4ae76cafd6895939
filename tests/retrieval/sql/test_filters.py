"""What SQL says of a filter is what plain evaluation says, for any filter and any document; and nothing that a
caller writes is SQL."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import orjson
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import set_json_dumps, set_json_loads

from schemas.events.document import UPSERTED, DocumentEvent
from schemas.times import EPOCH
from streams.collect.arrivals import Arrival
from streams.collect.copying import DOCUMENT_COLUMNS, document_rows
from streams.collect.fold import Version
from streams.engines.retrieval.errors import FilterError
from streams.engines.retrieval.filters.parse import matches, parse_filter
from streams.retrieval.sql.filters import MAX_CONDITIONS, SqlFilter, compile_filter
from streams.retrieval.sql.parameters import storable
from streams.runtime.binary_copy import BEGIN, END
from tests.retrieval.storing import AT, NS

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
COLLECTION: Final = "col_a"
KEYS: Final = ("a", "b", "a.b", "b.c", "a.b.c", "0", "1", "payload", "text", "occurred_at", "a\"'\\", "é")
PATHS: Final = (
    *("a", "b", "a.b", "a.b.c", "a.b.c.a", "a.0", "a.0.b", "a.b.0", "0", "0.a", "a.1.b.c", "b.c"),
    *("payload", "payload.a", "payload.a.b", "payload.0", "text", "occurred_at", "document_id", "asset_id"),
    *("collection_id", "text.a", "a\"'\\", "é", "a..b", "\x00", "\ud800", "a.99999999999", "a.b.c.a.b.c.a"),
)
STRINGS: Final = (
    *(
        "",
        "x",
        "X",
        "straße",
        "STRASSE",
        "İstanbul",
        "i̇stanbul",
        "K",
        "k",
        "\u212a",
        "ΣΑΣ",
        "σας",
        "σασ",
        "Ǆ",
        "ǆ",
    ),
    *(
        "the Quick brown fox",
        "quick",
        "FOX",
        "fox the",
        "5",
        "true",
        "null",
        '"',
        "\\",
        "%",
        "_",
        "東京",
        "\U0001f600",
    ),
    *("2024-05-01", "2024-05-01T12:00:00Z", "2024-05-01T12:00:00.5Z", "2024-05-01T23:30:00-05:00", "2024-02-29"),
    *("2024-02-30", "20240501T120000Z", "2024-05-02t01:00:00+02", "0000-01-01", "2024-05-01 12:00", "2024-05-01x"),
    *("0001-01-01", "9999-12-31T23:59:59.999999Z", "2026-03-02T12:30:00.000Z", "2023-02-29", "2024-04-31"),
)
NUMBERS: Final = (
    *(0, 1, -1, 5, 5.0, 0.1, -0.0, 1e-7, 1.5, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), 2**64 - 1),
    *(
        1e16,
        1.2345678901234567e18,
        1234567890123456700,
        1234567890123456768,
        1e26,
        5e-324,
        1e308,
        2**63,
        0.30000000000000004,
    ),
)
scalars = st.one_of(
    st.sampled_from(STRINGS),
    st.sampled_from(NUMBERS),
    st.booleans(),
    st.none(),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=6,
)
payloads = st.one_of(st.dictionaries(st.sampled_from(KEYS), values, max_size=5), values)
instants = st.one_of(
    st.integers(-62_135_510_400, 253_402_128_000).map(lambda seconds: EPOCH + timedelta(seconds=seconds)),
    st.sampled_from((datetime(2024, 5, 1, 12, tzinfo=UTC), datetime(2024, 5, 1, 12, 0, 0, 500_000, tzinfo=UTC))),
)
items = st.lists(scalars, max_size=4) | st.lists(st.lists(scalars, max_size=2), max_size=2)
point = st.fixed_dictionaries({"lat": st.just(1), "lon": st.just(2)})
OPERANDS: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    **dict.fromkeys(("eq", "ne"), scalars | items),
    **dict.fromkeys(("in", "nin"), items),
    **dict.fromkeys(("gt", "gte", "lt", "lte"), scalars),
    "contains": scalars,
    **dict.fromkeys(
        ("starts_with", "ends_with", "text", "phrase", "words"), st.sampled_from(STRINGS) | st.text(max_size=3)
    ),
    "regex": st.sampled_from(("x", "^q", "(?i)FOX", ".", "^$")),
    **dict.fromkeys(("exists", "is_null"), st.booleans()),
    "geo_radius": st.fixed_dictionaries({"center": point, "radius": st.just(10)}),
}
leaves = st.sampled_from(sorted(OPERANDS)).flatmap(
    lambda name: st.fixed_dictionaries(
        {
            "field": st.sampled_from(PATHS),
            "operator": st.just(name),
            "value": OPERANDS[name],
            "case_sensitive": st.booleans(),
        }
    )
)
filters = st.recursive(
    leaves,
    lambda inner: st.dictionaries(st.sampled_from(("AND", "OR", "NOT")), st.lists(inner, max_size=3), max_size=2),
    max_leaves=5,
)


@st.composite
def documents(draw: st.DrawFn) -> list[DocumentEvent]:
    texts = st.none() | st.sampled_from(STRINGS)
    return [
        DocumentEvent(
            UPSERTED,
            NS,
            COLLECTION,
            f"d{number}",
            draw(instants),
            payload=draw(payloads),
            text=draw(texts),
            asset_id=draw(texts),
        )
        for number in range(draw(st.integers(1, 6)))
    ]


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A connection to a database with its tables."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        set_json_loads(orjson.loads, connection)
        set_json_dumps(orjson.dumps, connection)
        connection.execute("SET TIME ZONE 'UTC'")
        yield connection


def put(connection: Connection, events: Iterable[DocumentEvent]) -> list[DocumentEvent]:
    """Store documents as collect does, and read them back."""
    versions = [Version(Arrival(0, at, AT, event), AT, event.occurred_at) for at, event in enumerate(events)]
    with connection.cursor().copy(f"COPY documents ({DOCUMENT_COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(b"".join((BEGIN, *document_rows(versions), END)))
    found = connection.execute("SELECT document_id, occurred_at, payload, text, asset_id FROM documents")
    return [
        DocumentEvent(UPSERTED, NS, COLLECTION, name, moment, payload=payload, text=text, asset_id=asset_id)
        for name, moment, payload, text, asset_id in found.fetchall()
    ]


def rows(connection: Connection, condition: SqlFilter) -> dict[str, bool]:
    """Ids of the rows that are possible, and whether each is sure."""
    found = connection.execute(
        f"SELECT d.document_id, {condition.sure} FROM documents d WHERE {condition.possible}".encode(),
        condition.parameters,
    )
    return dict(found.fetchall())


def check(connection: Connection, stored: Sequence[DocumentEvent], raw: Any) -> SqlFilter | None:
    """That a filter means the same in both places; ``None`` for one that cannot be read."""
    try:
        where = parse_filter(raw)
    except FilterError:
        return None
    condition = compile_filter(where, "d")
    found = rows(connection, condition)
    fitting = {event.document_id for event in stored if matches(where, event.root())}
    sure = {document_id for document_id, is_sure in found.items() if is_sure}
    wrong = (fitting - found.keys()) | (sure - fitting)
    assert not wrong, (raw, [event.root() for event in stored if event.document_id in wrong], wrong & fitting)
    if condition.exact:
        assert found.keys() == fitting
    return condition


def test_sql_says_what_plain_evaluation_says(connection: Connection) -> None:
    @settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(events=documents(), asked=st.lists(filters, min_size=1, max_size=8))
    def compared(events: list[DocumentEvent], asked: list[Any]) -> None:
        with connection.transaction(force_rollback=True):
            stored = put(connection, events)
            for raw in asked:
                check(connection, stored, raw)

    compared()


HOSTILE: Final = (
    *("'", "''; DROP TABLE documents; --", '"', "a'b\"c", "\\", "\\'", "$1", "%s", "%(f0)s", "%", "{}", "{0}"),
    *(
        "?",
        "@?",
        "$$",
        "*/",
        "/*",
        "::text",
        ") OR TRUE --",
        "\n",
        "\t",
        "\x01",
        "\x7f",
        "\u2028",
        "*",
        "**",
        "[0]",
    ),
    *("\x00", "\ud800", "\U0001f600", "a" * 1_000, "$.a", '" ? (1 == 1)', "like_regex", "E'\\x'", "\u202e"),
)
"""Texts that would mean something if they were read as SQL, as a path, as a pattern or as a placeholder."""


def parts(condition: SqlFilter) -> set[str]:
    """What a statement is made of: its literals, words and signs, without numbers."""
    text = f"{condition.sure} {condition.possible}"
    return set(re.findall(r"'[^']*'|[A-Za-z_]+|[^\sA-Za-z_\d]", text))


def asking(names: Iterable[str], value: str) -> Iterator[Any]:
    """Conditions on fields of these names."""
    for operator in ("eq", "in", "starts_with", "gt"):
        for name in names:
            for field in (name, f"{name}.{name}", f"a.0.{name}", f"{name}.x.y", "document_id", "payload.x"):
                yield {"field": field, "operator": operator, "value": [value] if operator == "in" else value}


def test_nothing_that_a_caller_writes_is_sql(connection: Connection) -> None:
    names = [name for name in HOSTILE if storable(name)]
    payloads: list[Any] = [dict.fromkeys(names, name) for name in names]
    deep: dict[str, Any] = {name: {other: [{name: other}] for other in names[:9]} for name in names}
    events = [
        DocumentEvent(UPSERTED, NS, COLLECTION, f"d{at}", AT, payload=payload)
        for at, payload in enumerate([*payloads, deep, {"a": names}])
    ]
    ours = {
        part
        for value in ("", "1", "x")
        for raw in asking(("b",), value)
        for part in parts(compile_filter(parse_filter(raw), "d"))
    }
    stored = put(connection, events)
    for name in HOSTILE:
        for raw in asking((name,), name):
            condition = check(connection, stored, raw)
            assert condition is None or parts(condition) <= ours, raw
    assert connection.execute("SELECT count(*) FROM documents").fetchone() == (len(stored),)


CORNERS: Final[tuple[Any, ...]] = (
    *({"a.0": {"contains": ""}}, {"a.0": 5}, {"a.b": 1}, {"a.b": {"is_null": True}}, {"a.b.c": {"exists": False}}),
    *({"payload.a": 1}, {"payload": [1]}, {"payload.0": 1}, {"a": [[1]]}, {"a": {"in": [[1], "X", 5, True]}}),
    *({"text": {"text": "kelvin"}}, {"text": {"starts_with": "İ"}}, {"a": {"gt": "k"}}, {"a": {"lte": "ÉZ"}}),
    *({"occurred_at": {"gte": "2024-05-01T12:00:00.5Z"}}, {"occurred_at": "2024-05-01T12:00:00.500Z"}),
    *({"NOT": [{"a": {"regex": "x"}}]}, {"NOT": [{"a": {"phrase": "quick brown"}}]}, {"a": {"gt": "2024-05-01"}}),
    *({"a": {"gt": 2**53}}, {"a": 2**63 - 1}, {"a": 1.2345678901234567e18}, {"a": {"lt": 2**64}}, {"a": 1e300}),
)


def test_corners(connection: Connection) -> None:
    payloads: list[Any] = [
        *({"a": ""}, {"a": 5}, {"a": [5]}, {"a": [[5]]}, {"a": {"0": 5}}, {"a": [{"0": 5}]}, {"a.0": 5}, [5], "5"),
        *({"a": {"b": 1}}, {"a": [{"b": 1}, 3, [{"b": 2}]]}, {"a.b": 1, "a": {"b": 2}}, {"a": [{"b": None}]}),
        *({"a.b": {"c": 1}}, {"a": {"b.c": 1}}, {"a": [{"b": {"c": 1}}]}, {"payload": {"a": 1}}, {"payload": [1]}),
        *(
            {"payload": {"a": [{"b": 1}], "a.b": 2}},
            {"payload": {"a": [{"b": 1}]}},
            [{"a": 1}],
            {"a": [[1]]},
            {"a": [1]},
        ),
        *({"text": "\u212aelvin"}, {"text": "KELVIN"}, {"text": "i̇x"}, {"a": "K"}, {"a": "\u212b"}, {"a": "éza"}),
        *(
            {"occurred_at": "2024-05-02"},
            {"occurred_at": None},
            {"a": "2024-05-01T00:00:00+14:00"},
            {"a": "20240502"},
        ),
        *(
            {"a": "20240502T0000"},
            {"a": "2024-02-29"},
            {"a": "the quick brown"},
            {"a": "brown quick"},
            {"a": "2024-13-01"},
        ),
        *(
            {"a": 2**53 + 1},
            {"a": float(2**53)},
            {"a": 2**63 - 1},
            {"a": 2**64 - 1},
            {"a": 1.2345678901234567e18},
            {"a": 1e300},
        ),
    ]
    at = datetime(2024, 5, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    stored = put(
        connection,
        [
            DocumentEvent(UPSERTED, NS, COLLECTION, f"d{number}", at, payload=payload)
            for number, payload in enumerate(payloads)
        ],
    )
    for raw in CORNERS:
        for case_sensitive in (False, True):
            assert check(connection, stored, {**raw, "case_sensitive": case_sensitive}) is not None
            assert check(connection, stored, {"NOT": [raw], "case_sensitive": case_sensitive}) is not None


EXACT: Final[tuple[Any, ...]] = (
    *(
        {"a": 5},
        {"a": "x"},
        {"a.b": {"in": ["x", 1, None]}},
        {"a": {"ne": True}},
        {"a": {"nin": ["é"]}},
        {"a": [1, "5"]},
    ),
    *(
        {"a": {"gt": 1.5}},
        {"a": {"lte": "é"}},
        {"a.b.c": {"exists": True}},
        {"a": {"is_null": False}},
        {"a": None},
    ),
    *({"a": {"contains": "X"}}, {"a": {"starts_with": "x"}}, {"a": {"ends_with": "x"}}, {"a": {"text": "x"}}),
    {"occurred_at": {"gte": "2024-05-01"}},
)


@pytest.mark.parametrize("raw", EXACT, ids=str)
def test_what_sql_can_say_exactly_is_not_looked_at_again(raw: Any) -> None:
    condition = compile_filter(parse_filter(raw))
    assert condition.exact or raw.keys() & {"a.b.c", "occurred_at"}, condition
    assert compile_filter(parse_filter({"NOT": [raw]})).exact == condition.exact


def test_a_filter_of_hundreds_of_conditions_is_left_to_memory() -> None:
    condition = compile_filter(parse_filter({"OR": [{"a": number} for number in range(MAX_CONDITIONS + 1)]}))
    assert not condition.helps
    assert condition.possible == "TRUE"
