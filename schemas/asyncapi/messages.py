"""What travels on each topic: the model of its value, the pattern of its key, its headers, an example made by its
codec."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import orjson
from pydantic import BaseModel

from schemas import headers, topics
from schemas.asyncapi import wire
from schemas.events.alert_result import AlertHit, AlertResultRecord, encode_alert_result
from schemas.events.dead_letter import DeadLetter
from schemas.events.definition import DefinitionRecord, encode_definition
from schemas.events.document import UPSERTED, DocumentEvent, encode_document_event
from schemas.events.notification import DeliveryRecord
from schemas.events.progress import MatchProgress
from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.events.trigger import TriggerCommand
from schemas.headers import DefinitionsVersion
from schemas.topics import Topic

_PART: Final = "[^/]+"
_VERSION: Final = "^.+:[0-9]+$"
_POSITION: Final = "^[0-9]+:[0-9]+$"
_INSTANT: Final = {"type": "string", "format": "date-time"}


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of record of one topic. ``value`` is ``None`` for bytes of any kind."""

    name: str
    topic: Topic
    summary: str
    value: type[BaseModel] | None
    key: str
    """A regular expression."""
    example: Mapping[str, Any]
    headers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    required_headers: Sequence[str] = ()
    optional_key: bool = False
    deletes: bool = False
    """A null value is a deletion."""


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


_WRITE_HEADERS: Final[Mapping[str, Mapping[str, Any]]] = {
    headers.DEFINITIONS_VERSION: _text("`epoch:n`, the definitions version the writer saw.", pattern=_VERSION),
    headers.CAUSED_BY: _text("Ids of the alerts and triggers whose effect the write is, oldest first, by commas."),
    headers.WATERMARK: _text("Everything of this source that occurred before was sent before.", **_INSTANT),
    headers.LATE: _text("How far the source had come before this late document.", **_INSTANT),
    headers.SOURCE_POSITION: _text("`partition:offset` of the version this one was made from.", pattern=_POSITION),
    headers.CHANGED: _text("A JSON list of the root fields that the write changed.", pattern=r"^\["),
    headers.SEQ: _text("The number of a write over HTTP.", pattern="^[0-9]{1,18}$"),
    headers.WRITTEN_AT: _text("When the document is told to be created.", **_INSTANT),
    headers.PATCH: _text("The change that the write is, as JSON."),
    headers.PRODUCER: _text("A name of the producer."),
}
_DEAD: Final[Mapping[str, Mapping[str, Any]]] = {
    "x-dead-topic": _text("Where the record was read."),
    "x-dead-partition": _text("Its partition.", pattern="^[0-9]+$"),
    "x-dead-offset": _text("Its offset.", pattern="^[0-9]+$"),
    "x-dead-timestamp": _text("Its timestamp.", **_INSTANT),
    "x-dead-stage": _text("The station that gave it up."),
    "x-dead-error-type": _text("The kind of the error."),
    "x-dead-message": _text("The error.", maxLength=2_000),
    "x-dead-attempts": _text("How often it was tried.", pattern="^[0-9]+$"),
}


def messages() -> tuple[Message, ...]:
    """Every kind of record, in the order of the topics."""
    at = datetime(2014, 10, 1, 12, 30, tzinfo=UTC)
    later = at + timedelta(seconds=1)
    vector = np.asarray([0.6, 0.8], dtype=np.float32)
    event = DocumentEvent(
        UPSERTED,
        "ns_default",
        "col_news",
        "doc_1",
        at,
        {"title": "Ebola: first case in Dallas", "lang": "en"},
        event_id="feed-4711",
        features={"mixpeek://hashing@v1/words": vector},
    )
    document = orjson.loads(encode_document_event(event))
    cloud = {
        "specversion": "1.0",
        "type": "com.example.document.upserted",
        "source": "/feeds/health",
        "id": "4711",
        "time": "2014-10-01T12:30:00Z",
        "data": {name: document[name] for name in ("namespace_id", "collection_id", "document_id", "payload")},
    }
    definition = DefinitionRecord(
        "alert", "ns_default", "alt_1", 7, DefinitionsVersion("epoch-1", 42), name="Ebola", body={"enabled": True}
    )
    result = AlertResultRecord(
        base=bytes(range(12)),
        namespace_id="ns_default",
        collection_id="col_news",
        document_id="doc_1",
        source_topic="documents",
        source_partition=2,
        source_offset=41,
        appended_at=at,
        occurred_at=at,
        executed_at=later,
        duration_ms=3,
        definitions_version=42,
        hits=[AlertHit(7, "alt_1", 1, "ret_1", 1.0, "title contains 'ebola'")],
        document={"title": "Ebola: first case in Dallas"},
    )
    run = RetrieverExecutionRecord(
        execution_id="exec_1",
        namespace_id="ns_default",
        retriever_id="ret_1",
        status="completed",
        created_at=at,
        completed_at=later,
        detail={"documents": [], "total_returned": 0},
    )
    progress = MatchProgress(
        source_topic="documents",
        partition=2,
        namespace_id="ns_default",
        collection_id="col_news",
        next_offset=42,
        occurred_at=at,
        appended_at=at,
        definitions_version=42,
        documents=1,
    )
    command = TriggerCommand(
        job_id="task_1",
        trigger_id="trig_1",
        namespace_id="ns_default",
        family="trigger",
        action_type="cluster",
        action_config={"cluster_id": "clust_1"},
        nominal_at=at,
        triggered_at=later,
        reason="scheduled",
        fired_by="schedule",
    )
    delivery = DeliveryRecord(
        namespace_id="ns_default",
        alert_id="alt_1",
        execution_id="exec_000102030405060708090a0b7",
        channel_index=0,
        channel_type="webhook",
        status="delivered",
        attempt=1,
        at=later,
        http_status=204,
    )
    dead = DeadLetter("documents", 2, 43, at, "match", "DecodeError", "type must be one of …")
    documents_key = f"^{_PART}/{_PART}/[^\\x00]+$"
    return (
        Message(
            "documentEvent",
            topics.DOCUMENTS,
            "A document was written or deleted, or a source has come so far",
            wire.DocumentEvent,
            documents_key,
            document,
            _WRITE_HEADERS,
            optional_key=True,
            deletes=True,
        ),
        Message(
            "documentCloudEvent",
            topics.DOCUMENTS,
            "The same as a CloudEvent in structured mode",
            wire.CloudEvent,
            documents_key,
            cloud,
            _WRITE_HEADERS,
            optional_key=True,
        ),
        Message(
            "definition",
            topics.DEFINITIONS,
            "A definition was made, changed or deleted",
            wire.Definition,
            f"^{_PART}/[^/]*/[^\\x00]+$",
            orjson.loads(encode_definition(definition)),
        ),
        Message(
            "reference",
            topics.REFERENCES,
            "A document of a collection that look-up alerts search",
            wire.DocumentEvent,
            documents_key,
            document,
            _WRITE_HEADERS,
            required_headers=(headers.SOURCE_POSITION,),
            deletes=True,
        ),
        Message(
            "alertResult",
            topics.ALERT_RESULTS,
            "What one document set off, or what a window or a sweep decided",
            wire.AlertResult,
            r"^[^\x00]+$",
            orjson.loads(encode_alert_result(result)),
        ),
        _record("retrieverExecution", topics.RETRIEVER_EXECUTIONS, "A retriever was run", run, f"^{_PART}/.*$"),
        _record(
            "matchProgress",
            topics.MATCH_PROGRESS,
            "How far a collection has been checked",
            progress,
            f"^[0-9]+/{_PART}/{_PART}$",
        ),
        _record(
            "triggerCommand", topics.TRIGGER_COMMANDS, "A trigger fired: run its action", command, f"^{_PART}/.*$"
        ),
        _record(
            "triggerResult",
            topics.TRIGGER_RESULTS,
            "What became of a run",
            command.result("completed", 2, finished_at=later, execution_time_ms=740),
            f"^{_PART}/.*$",
        ),
        _record(
            "delivery", topics.NOTIFICATIONS, "An attempt to tell an execution", delivery, f"^{_PART}/{_PART}$"
        ),
        Message(
            "deadLetter",
            topics.DEAD_LETTERS,
            "A record that can never work: its own bytes, the story in the headers",
            None,
            "",
            {name: value.decode() for name, value in dead.headers()},
            _DEAD,
            required_headers=tuple(_DEAD),
            optional_key=True,
            deletes=True,
        ),
    )


def _record(name: str, topic: Topic, summary: str, record: Any, key: str) -> Message:
    return Message(name, topic, summary, type(record), key, orjson.loads(record.encode()))
