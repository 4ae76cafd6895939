"""Records as the AsyncAPI document has them: what a station writes and the document does not say is an error."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema_rs
import orjson
from aiokafka import ConsumerRecord

from schemas.asyncapi.document import asyncapi
from schemas.topics import Topic


@cache
def document() -> dict[str, Any]:
    """The document."""
    return asyncapi("0")


@cache
def validator(message: str, part: str) -> jsonschema_rs.Validator:
    """Of the ``payload`` or the ``headers`` of a message."""
    described = document()["components"]["messages"][message].get(part, {})
    schema = {**described, "components": {"schemas": _closed(document()["components"]["schemas"])}}
    return jsonschema_rs.validator_for(schema, validate_formats=True)


def _closed(schemas: Any) -> Any:
    """The same schemas, which a field that they do not name does not fulfil, unless they say that it may be."""
    if isinstance(schemas, list):
        return [_closed(item) for item in schemas]
    if not isinstance(schemas, dict):
        return schemas
    inner = {name: _closed(item) for name, item in schemas.items()}
    if inner.get("type") == "object" and "properties" in inner:
        inner.setdefault("additionalProperties", False)
    return inner


def problems(topic: Topic, record: ConsumerRecord) -> list[str]:
    """What the document says otherwise of a record; a record is one of the messages of its channel."""
    names = list(document()["channels"][topic.name]["messages"])
    found = [_problems(name, record) for name in names]
    return [] if [] in found else found[0]


def _problems(message: str, record: ConsumerRecord) -> list[str]:
    headers = {name: value.decode() for name, value in record.headers or ()}
    described = document()["components"]["messages"][message]
    found = [f"headers: {error.message}" for error in validator(message, "headers").iter_errors(headers)]
    if described["payload"]:
        value = None if record.value is None else orjson.loads(record.value)
        found += [
            f"{error.instance_path}: {error.message}" for error in validator(message, "payload").iter_errors(value)
        ]
    key: Mapping[str, Any] = described["bindings"]["kafka"]["key"]
    text = None if record.key is None else record.key.decode()
    found += [f"key: {error.message}" for error in jsonschema_rs.validator_for(dict(key)).iter_errors(text)]
    return found
