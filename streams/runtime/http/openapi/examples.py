"""Examples of requests and answers, by operation (``examples.json``). ``tests/flow/test_examples.py`` sends every
request to a running service, and records what it answers."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import orjson

FILE = "examples.json"


def read_examples() -> dict[str, Any]:
    """By ``operationId`` its ``path``, ``query``, ``request`` and ``response``, as far as it has them."""
    found: dict[str, Any] = orjson.loads(files(__package__).joinpath(FILE).read_bytes())
    return found


def add_examples(document: Mapping[str, Any], examples: Mapping[str, Any]) -> None:
    """Put the examples into the operations that are there."""
    for item in document["paths"].values():
        for described in item.values():
            example = examples.get(described["operationId"])
            if example is not None:
                _add(described, example)


def _add(described: dict[str, Any], example: Mapping[str, Any]) -> None:
    for parameter in described.get("parameters", ()):
        values = example.get(parameter["in"], {})
        if parameter["name"] in values:
            parameter["example"] = values[parameter["name"]]
    if "request" in example:
        described["requestBody"]["content"]["application/json"]["example"] = example["request"]
    if "response" in example:
        for status, answer in described["responses"].items():
            if status.startswith("2"):
                answer["content"]["application/json"]["example"] = example["response"]
