"""The other codecs: golden bytes, round trips, refusals."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from schemas.errors import DecodeError
from schemas.events.alert_result import (
    AlertHit,
    AlertResultRecord,
    Contribution,
    Found,
    decode_alert_result,
    encode_alert_result,
)
from schemas.events.dead_letter import DeadLetter
from schemas.events.definition import DefinitionRecord, decode_definition, encode_definition, stream_record
from schemas.events.frozen import Record
from schemas.events.notification import DeliveryRecord
from schemas.events.progress import MatchProgress
from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.events.trigger import TriggerCommand, TriggerResult
from schemas.headers import (
    MAX_CAUSE_DEPTH,
    CauseDepthError,
    DefinitionsVersion,
    SourcePosition,
    format_causes,
    header,
    parse_causes,
    with_cause,
)
from schemas.times import format_instant, parse_instant

AT = datetime(2014, 10, 1, 12, 30, tzinfo=UTC)
RESULT = AlertResultRecord(
    base=bytes(range(12)),
    namespace_id="ns_a",
    collection_id="col_b",
    document_id="d1",
    source_topic="documents",
    source_partition=2,
    source_offset=41,
    appended_at=AT,
    occurred_at=AT - timedelta(days=1),
    executed_at=AT + timedelta(seconds=1),
    duration_ms=3,
    definitions_version=9,
    hits=[AlertHit(17, "alt_x", 4, "ret_y", 0.5, "because", {"f": 0.5})],
    keyed=True,
    asset_id="a",
    caused_by=("trig_1",),
    truncated=True,
    document={"text": "Ebola"},
)
RESULT_BYTES = (
    b'{"base":"000102030405060708090a0b","namespace_id":"ns_a","collection_id":"col_b","source_documents":["d1"],'
    b'"position":["documents",2,41],"appended_at":"2014-10-01T12:30:00.000Z","occurred_at":"2014-09-30T12:30:00.000Z",'
    b'"executed_at":"2014-10-01T12:30:01.000Z","duration_ms":3,"definitions_version":9,"executions":[{"execution_id":'
    b'"exec_000102030405060708090a0b11","number":17,"alert_id":"alt_x","alert_version":4,"retriever_id":"ret_y",'
    b'"score":0.5,"reason":"because","matched_features":{"f":0.5}}],"keyed":true,"asset_id":"a","caused_by":["trig_1"],'
    b'"truncated":true,"document":{"text":"Ebola"}}'
)


def test_alert_result_golden_bytes_and_round_trip() -> None:
    assert encode_alert_result(RESULT) == RESULT_BYTES
    assert decode_alert_result(RESULT_BYTES) == RESULT
    plain = replace(RESULT, keyed=False, asset_id=None, caused_by=(), truncated=False, document={})
    assert decode_alert_result(encode_alert_result(plain)) == plain
    assert [name for name, _ in RESULT.executions()] == ["exec_000102030405060708090a0b11"]


LOOKED_UP = replace(
    RESULT,
    hits=[
        AlertHit(17, "alt_x", 4, "ret_y", 0.5, "because", {"f": 0.5}),
        AlertHit(
            18,
            "alt_z",
            5,
            "ret_z",
            0.9,
            "2 found",
            None,
            Found(2, [{"document_id": "p1", "score": 0.9, "metadata": {"name": "A"}}], {"0": 12, "3": 7}),
        ),
    ],
)
LOOKED_UP_BYTES = RESULT_BYTES.replace(
    b'"matched_features":{"f":0.5}}]',
    b'"matched_features":{"f":0.5}},{"execution_id":"exec_000102030405060708090a0b12","number":18,"alert_id":"alt_z",'
    b'"alert_version":5,"retriever_id":"ret_z","score":0.9,"reason":"2 found","match_count":2,'
    b'"matches":[{"document_id":"p1","score":0.9,"metadata":{"name":"A"}}],"reference_position":{"0":12,"3":7}}]',
)


def test_alert_result_of_a_look_up_golden_bytes_and_round_trip() -> None:
    assert encode_alert_result(LOOKED_UP) == LOOKED_UP_BYTES
    assert decode_alert_result(LOOKED_UP_BYTES) == LOOKED_UP


DECIDED = replace(
    RESULT,
    document_id="",
    source_topic="",
    source_partition=0,
    source_offset=0,
    hits=[
        AlertHit(17, "alt_x", 4, "ret_y", 1.0, "none", None, Found(0, [], {}), triggered=False, held="told once")
    ],
    contributions=(Contribution("alt_w", "5e41", 6, "event_time", 1, 0.5, [3, 0.25]),),
)
DECIDED_BYTES = (
    RESULT_BYTES.replace(
        b'"source_documents":["d1"],"position":["documents",2,41]', b'"source_documents":[],"position":["",0,0]'
    )
    .replace(
        b'"score":0.5,"reason":"because","matched_features":{"f":0.5}}',
        b'"score":1.0,"reason":"none","match_count":0,"matches":[],"reference_position":{},"triggered":false,'
        b'"held":"told once"}',
    )
    .replace(
        b',"document":{',
        b',"contributions":[{"alert_id":"alt_w","series":"5e41","step_seconds":6,"time_domain":"event_time",'
        b'"documents":1,"score":0.5,"values":[3,0.25]}],"document":{',
    )
)


def test_alert_result_without_a_document_and_contributions_golden_bytes_and_round_trip() -> None:
    assert encode_alert_result(DECIDED) == DECIDED_BYTES
    assert decode_alert_result(DECIDED_BYTES) == DECIDED


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("alert_id", 3),
        ("step_seconds", 0),
        ("documents", -1),
        ("time_domain", "lunar"),
        ("values", ["1"]),
        ("values", [True]),
    ],
)
def test_a_broken_contribution_is_refused(field: str, value: object) -> None:
    raw = orjson.loads(DECIDED_BYTES)
    raw["contributions"][0][field] = value
    with pytest.raises(DecodeError):
        decode_alert_result(orjson.dumps(raw))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("match_count", "2"),
        ("matches", {}),
        ("matches", [{"document_id": 3}]),
        ("matches", [{"score": 0.5}]),
        ("reference_position", []),
        ("reference_position", {"0": "12"}),
    ],
)
def test_alert_result_of_a_look_up_refuses_a_broken_field(field: str, value: object) -> None:
    raw = orjson.loads(LOOKED_UP_BYTES)
    raw["executions"][1][field] = value
    with pytest.raises(DecodeError):
        decode_alert_result(orjson.dumps(raw))


@pytest.mark.parametrize(
    "field", sorted(orjson.loads(RESULT_BYTES).keys() - {"keyed", "asset_id", "caused_by", "truncated"})
)
def test_alert_result_refuses_a_broken_field(field: str) -> None:
    with pytest.raises(DecodeError):
        decode_alert_result(orjson.dumps({**orjson.loads(RESULT_BYTES), field: 3.5}))


def test_alert_result_refuses_a_foreign_execution_id() -> None:
    raw = orjson.loads(RESULT_BYTES)
    raw["executions"][0]["number"] = 18
    with pytest.raises(DecodeError, match="does not belong"):
        decode_alert_result(orjson.dumps(raw))


def test_definition_round_trips() -> None:
    version = DefinitionsVersion("0b8f", 12)
    alive = DefinitionRecord("alert", "ns_a", "alt_x", 17, version, name="Ebola", body={"enabled": True})
    dead = DefinitionRecord("alert", "ns_a", "alt_x", 17, version, deleted=True, name="Ebola")
    for record in (alive, dead, stream_record("0b8f")):
        assert decode_definition(encode_definition(record)) == record
    assert encode_definition(alive) == (
        b'{"kind":"alert","namespace_id":"ns_a","id":"alt_x","number":17,"epoch":"0b8f","version":12,'
        b'"name":"Ebola","body":{"enabled":true}}'
    )
    assert alive.key == b"alert/ns_a/alt_x"


@pytest.mark.parametrize(
    "value", [None, b"", b"{}", b'{"kind":"spell"}', b"[]", b'{"kind":"alert","namespace_id":1}']
)
def test_definition_refuses(value: bytes | None) -> None:
    with pytest.raises(DecodeError):
        decode_definition(value)


RECORDS: list[tuple[Record, bytes]] = [
    (
        MatchProgress(
            source_topic="documents",
            partition=1,
            namespace_id="n",
            collection_id="c",
            next_offset=5,
            occurred_at=AT,
            appended_at=AT,
            definitions_version=3,
            documents=2,
        ),
        (
            b'{"source_topic":"documents","partition":1,"namespace_id":"n","collection_id":"c","next_offset":5,'
            b'"occurred_at":"2014-10-01T12:30:00Z","appended_at":"2014-10-01T12:30:00Z","definitions_version":3,'
            b'"documents":2}'
        ),
    ),
    (
        TriggerCommand(
            job_id="job_1",
            trigger_id="trig_1",
            namespace_id="n",
            family="cluster_trigger",
            action_type="cluster",
            action_config={"cluster_id": "clust_1"},
            nominal_at=AT,
            triggered_at=AT,
            reason="drift",
            until=AT,
            caused_by=("trig_0",),
        ),
        (
            b'{"job_id":"job_1","trigger_id":"trig_1","namespace_id":"n","family":"cluster_trigger",'
            b'"action_type":"cluster","action_config":{"cluster_id":"clust_1"},"nominal_at":"2014-10-01T12:30:00Z",'
            b'"triggered_at":"2014-10-01T12:30:00Z","reason":"drift","until":"2014-10-01T12:30:00Z",'
            b'"caused_by":["trig_0"]}'
        ),
    ),
    (
        TriggerResult(
            job_id="job_1",
            trigger_id="trig_1",
            namespace_id="n",
            family="trigger",
            action_type="cluster",
            status="completed",
            revision=3,
            nominal_at=AT,
            triggered_at=AT,
            reason="drift",
            finished_at=AT,
            execution_time_ms=12,
            num_clusters=8,
            num_documents=100,
        ),
        (
            b'{"job_id":"job_1","trigger_id":"trig_1","namespace_id":"n","family":"trigger","action_type":"cluster",'
            b'"status":"completed","revision":3,"nominal_at":"2014-10-01T12:30:00Z",'
            b'"triggered_at":"2014-10-01T12:30:00Z","reason":"drift","finished_at":"2014-10-01T12:30:00Z",'
            b'"execution_time_ms":12,"num_clusters":8,"num_documents":100}'
        ),
    ),
    (
        DeliveryRecord(
            namespace_id="n",
            alert_id="alt_x",
            execution_id="exec_1",
            channel_index=0,
            channel_type="webhook",
            status="failed",
            attempt=2,
            at=AT,
            error="500",
            http_status=500,
        ),
        (
            b'{"namespace_id":"n","alert_id":"alt_x","execution_id":"exec_1","channel_index":0,"channel_type":"webhook",'
            b'"status":"failed","attempt":2,"at":"2014-10-01T12:30:00Z","error":"500","http_status":500}'
        ),
    ),
    (
        RetrieverExecutionRecord(
            execution_id="exec_1",
            namespace_id="n",
            retriever_id="ret_1",
            status="completed",
            created_at=AT,
            completed_at=AT,
            detail={"documents": []},
        ),
        (
            b'{"execution_id":"exec_1","namespace_id":"n","retriever_id":"ret_1","status":"completed",'
            b'"created_at":"2014-10-01T12:30:00Z","completed_at":"2014-10-01T12:30:00Z","detail":{"documents":[]}}'
        ),
    ),
]


@pytest.mark.parametrize(("record", "golden"), RECORDS, ids=lambda value: type(value).__name__)
def test_model_records(record: Record, golden: bytes) -> None:
    assert record.encode() == golden
    assert type(record).decode(golden) == record
    later: Any = {**orjson.loads(golden), "new_field": [1]}
    assert orjson.loads(type(record).decode(orjson.dumps(later)).encode()) == later
    for value in (None, b"", b"[]", b"{}"):
        with pytest.raises(DecodeError, match=type(record).__name__):
            type(record).decode(value)


def test_dead_letter_headers_keep_the_originals() -> None:
    letter = DeadLetter("documents", 1, 7, AT, "match", "DecodeError", "not JSON", 2)
    assert letter.headers((("x-producer", b"p"),)) == [
        ("x-producer", b"p"),
        ("x-dead-topic", b"documents"),
        ("x-dead-partition", b"1"),
        ("x-dead-offset", b"7"),
        ("x-dead-timestamp", b"2014-10-01T12:30:00.000Z"),
        ("x-dead-stage", b"match"),
        ("x-dead-error-type", b"DecodeError"),
        ("x-dead-message", b"not JSON"),
        ("x-dead-attempts", b"2"),
    ]


def test_headers() -> None:
    headers = [("a", b"1"), ("a", b"2")]
    assert header(headers, "a") == "2"
    assert header(headers, "b") is None
    with pytest.raises(DecodeError):
        header([("a", b"\xff")], "a")
    version = DefinitionsVersion("e", 12)
    assert DefinitionsVersion.parse(str(version)) == version
    # Python itself refuses to read thousands of digits.
    many = "9" * 5_000
    for text in ("", "e", "e:", ":1", "e:-1", "e:x", "e:²", f"e:{many}"):
        with pytest.raises(DecodeError):
            DefinitionsVersion.parse(text)
    assert SourcePosition.parse("3:12") == SourcePosition(3, 12)
    for text in ("", "1", "1:", "1:-1", "1:2:3", f"1:{many}", f"{many}:1"):
        with pytest.raises(DecodeError, match="x-source-position"):
            SourcePosition.parse(text)
    assert parse_causes("a,b") == ("a", "b")
    assert parse_causes(None) == ()
    assert len(parse_causes(",".join(["alt_1"] * MAX_CAUSE_DEPTH))) == MAX_CAUSE_DEPTH
    with pytest.raises(DecodeError, match="x-caused-by"):
        parse_causes(",".join(["alt_1"] * (MAX_CAUSE_DEPTH + 1)))


def test_a_chain_of_causes_grows_to_its_limit_and_names_those_in_it() -> None:
    causes: tuple[str, ...] = ()
    for number in range(MAX_CAUSE_DEPTH):
        causes = with_cause(causes, f"trig_{number}")
        assert parse_causes(format_causes(causes)) == causes
    assert with_cause(causes, "trig_0") == causes
    with pytest.raises(CauseDepthError, match=r"trig_0 → trig_1 → trig_2 → trig_3 → alt_x.*watch another"):
        with_cause(causes, "alt_x")


def test_instants() -> None:
    assert format_instant(AT) == "2014-10-01T12:30:00.000Z"
    assert format_instant(AT.replace(microsecond=1)) == "2014-10-01T12:30:00.000001Z"
    assert parse_instant("2014-10-01T14:30:00+02:00") == AT
    assert parse_instant("2014-10-01T12:30:00") == AT
