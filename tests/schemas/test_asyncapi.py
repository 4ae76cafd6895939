"""The AsyncAPI document: whole, current, and what the codecs write."""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from schemas.asyncapi.document import asyncapi
from schemas.events.alert_result import AlertHit, Contribution, Found, encode_alert_result
from schemas.events.definition import DefinitionRecord, encode_definition, stream_record
from schemas.events.document import UPSERTED, DocumentEvent, encode_document_event
from schemas.headers import DefinitionsVersion
from schemas.topics import ALERT_RESULTS, DEFINITIONS, DOCUMENTS, TOPICS, Topic
from streams.cli.commands import app
from tests.records import document, problems, validator
from tests.schemas.test_records import AT, RESULT

OFFICIAL = Path(__file__).with_name("asyncapi-3.0.0.json")
FILE = Path(__file__).parents[2] / "docs" / "asyncapi.json"
TEXT = st.text(st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def test_the_file_is_what_the_command_prints() -> None:
    printed = CliRunner().invoke(app, ["topics", "asyncapi"], env={"TIDEWATCH_TOPIC_PREFIX": ""})
    assert printed.exit_code == 0
    assert FILE.read_text() == printed.stdout, "make it anew: tidewatch topics asyncapi > docs/asyncapi.json"
    assert orjson.loads(printed.stdout) == orjson.loads(orjson.dumps(asyncapi(version("tidewatch"))))


def test_it_is_valid_by_the_schema_of_asyncapi() -> None:
    """The official one; of its bindings those of Kafka are kept."""
    official = jsonschema_rs.validator_for(orjson.loads(OFFICIAL.read_bytes()))
    found = orjson.loads(orjson.dumps(asyncapi("0")))
    assert [error.message for error in official.iter_errors(found)] == []
    assert not official.is_valid({**found, "asyncapi": "2.6.0"})
    assert not official.is_valid({**found, "topics": {}})
    (channel, *_) = found["channels"].values()
    channel["bindings"]["kafka"]["partitions"] = "many"
    assert not official.is_valid(found)


def test_it_is_an_asyncapi_document() -> None:
    found = document()
    assert found["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= found["info"].keys()
    for name, operation in found["operations"].items():
        assert operation["action"] in ("send", "receive")
        channel = _resolved(found, operation["channel"])
        assert name == f"{operation['action']}-{channel['title']}"
        assert [_resolved(found, one) for one in operation["messages"]] == [
            _resolved(found, one) for one in channel["messages"].values()
        ]
    for message in found["components"]["messages"].values():
        assert {"name", "title", "contentType", "payload", "bindings", "examples"} <= message.keys()


def test_every_reference_leads_somewhere() -> None:
    def walk(part: Any) -> None:
        if isinstance(part, dict):
            if "$ref" in part:
                assert _resolved(document(), part)
            for inner in part.values():
                walk(inner)
        elif isinstance(part, list):
            for inner in part:
                walk(inner)

    walk(document())


def test_every_topic_is_a_channel_under_its_prefix() -> None:
    channels = asyncapi("0", "prod-")["channels"]
    assert list(channels) == [topic.name for topic in TOPICS]
    for topic in TOPICS:
        channel = channels[topic.name]
        assert channel["address"] == channel["bindings"]["kafka"]["topic"] == f"prod-{topic.name}"
        assert channel["bindings"]["kafka"]["partitions"] == topic.partitions
        assert channel["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"] == [topic.cleanup]
        assert channel["messages"]


@pytest.mark.parametrize("name", list(document()["components"]["messages"]))
def test_the_examples_are_valid(name: str) -> None:
    for example in document()["components"]["messages"][name]["examples"]:
        for part in {"payload", "headers"} & example.keys():
            validator(name, part).validate(example[part])


@given(
    st.builds(
        DocumentEvent,
        type=st.just(UPSERTED),
        namespace_id=TEXT,
        collection_id=TEXT,
        document_id=TEXT,
        occurred_at=st.just(AT),
        payload=JSON,
        text=st.none() | TEXT,
        event_id=st.none() | TEXT,
    )
)
def test_document_events(event: DocumentEvent) -> None:
    assert problems(DOCUMENTS, _record(DOCUMENTS, event.key, encode_document_event(event))) == []


@pytest.mark.parametrize(
    "record",
    [
        stream_record("epoch-1"),
        DefinitionRecord("alert", "ns_a", "alt_1", 3, DefinitionsVersion("e", 4), name="n", body={"a": 1}),
        DefinitionRecord("collection", "ns_a", "col_1", 3, DefinitionsVersion("e", 5), deleted=True),
    ],
    ids=["stream", "alert", "deleted"],
)
def test_definitions(record: DefinitionRecord) -> None:
    assert problems(DEFINITIONS, _record(DEFINITIONS, record.key, encode_definition(record))) == []


@given(
    st.builds(
        AlertHit,
        alert_number=st.integers(1, 2**40),
        alert_id=TEXT,
        alert_version=st.integers(1, 9),
        retriever_id=TEXT,
        score=st.floats(0, 1),
        reason=TEXT,
        matched_features=st.none() | st.dictionaries(TEXT, st.floats(-1, 1), min_size=1, max_size=2),
        found=st.none() | st.just(Found(2, [{"document_id": "d", "score": 0.5}], {"0": 4})),
        triggered=st.booleans(),
        held=st.none() | TEXT,
    ),
    st.booleans(),
)
def test_alert_results(hit: AlertHit, counted: bool) -> None:
    more = [Contribution("alt", "s", 60, "event_time", values=(1, 2.5), late_at=AT)] if counted else []
    written = encode_alert_result(replace(RESULT, hits=[hit], contributions=more))
    assert problems(ALERT_RESULTS, _record(ALERT_RESULTS, b"ns/col/doc", written)) == []


def test_what_the_document_does_not_say_is_found() -> None:
    good = orjson.loads(encode_alert_result(RESULT))
    for bad in ({**good, "surprise": 1}, {**good, "duration_ms": "3"}, {**good, "base": "xyz"}, {}, None):
        assert problems(ALERT_RESULTS, _record(ALERT_RESULTS, b"k", orjson.dumps(bad)))
    assert problems(ALERT_RESULTS, _record(ALERT_RESULTS, None, orjson.dumps(good)))


def _record(topic: Topic, key: bytes | None, value: bytes | None) -> ConsumerRecord:
    return ConsumerRecord(topic.name, 0, 0, 0, 0, key, value, None, 0, 0, ())


def _resolved(found: dict[str, Any], reference: dict[str, str]) -> Any:
    part: Any = found
    for name in reference["$ref"].removeprefix("#/").split("/"):
        part = part[name]
    return _resolved(found, part) if isinstance(part, dict) and part.keys() == {"$ref"} else part
