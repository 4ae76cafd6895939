"""The document (AsyncAPI 3.0.0): channels, messages with their keys and headers, and who sends what."""

from typing import Any, Final

from pydantic.json_schema import models_json_schema

from schemas.asyncapi.messages import Message, messages
from schemas.topics import DOCUMENTS, TOPICS, Topic

VERSION: Final = "3.0.0"
_JSON: Final = "application/json"


def asyncapi(version: str, prefix: str = "") -> dict[str, Any]:
    """The document of the topics under ``prefix``; ``version`` is the service's."""
    every = messages()
    models = list({message.value: None for message in every if message.value is not None})
    _, schemas = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Tidewatch",
            "version": version,
            "description": (
                "Every topic of the system. Producers write `documents`; the stations write everything else, for"
                " whoever wants to read it. Readers ignore fields they do not know."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": _JSON,
        "channels": {
            topic.name: _channel(topic, prefix, [one for one in every if one.topic is topic]) for topic in TOPICS
        },
        "operations": dict(_operation(topic, every) for topic in TOPICS),
        "components": {
            "messages": {message.name: _message(message) for message in every},
            "schemas": schemas["$defs"],
        },
    }


def _channel(topic: Topic, prefix: str, own: list[Message]) -> dict[str, Any]:
    configuration: dict[str, Any] = {"cleanup.policy": [topic.cleanup]}
    if topic.retention is not None:
        configuration["retention.ms"] = int(topic.retention.total_seconds() * 1000)
    return {
        "address": topic.named(prefix),
        "title": topic.name,
        "description": f"Key: {topic.key}. Value: {topic.value}.",
        "messages": {message.name: {"$ref": f"#/components/messages/{message.name}"} for message in own},
        "bindings": {
            "kafka": {
                "topic": topic.named(prefix),
                "partitions": topic.partitions,
                "topicConfiguration": configuration,
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operation(topic: Topic, every: tuple[Message, ...]) -> tuple[str, dict[str, Any]]:
    """From the system's side: what it receives from producers, and what it sends."""
    action = "receive" if topic is DOCUMENTS else "send"
    return f"{action}-{topic.name}", {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "summary": f"{'Documents of producers and of the system' if topic is DOCUMENTS else topic.value}",
        "messages": [
            {"$ref": f"#/channels/{topic.name}/messages/{message.name}"}
            for message in every
            if message.topic is topic
        ],
    }


def _message(message: Message) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": message.name,
        "title": message.summary,
        "contentType": _JSON if message.value is not None else "application/octet-stream",
        "payload": _payload(message),
    }
    if message.headers:
        described["headers"] = {
            "type": "object",
            "properties": {name: dict(schema) for name, schema in message.headers.items()},
            "required": list(message.required_headers),
            "additionalProperties": True,
        }
    key: dict[str, Any] = {"type": "string", "pattern": message.key} if message.key else {}
    if message.optional_key and key:
        key["type"] = ["string", "null"]
    described["bindings"] = {"kafka": {"key": key, "bindingVersion": "0.5.0"}}
    example = {"headers": dict(message.example)} if message.value is None else {"payload": dict(message.example)}
    described["examples"] = [{"name": message.name, **example}]
    return described


def _payload(message: Message) -> Any:
    if message.value is None:
        return {}
    reference = {"$ref": f"#/components/schemas/{message.value.__name__}"}
    return {"anyOf": [reference, {"type": "null"}]} if message.deletes else reference
