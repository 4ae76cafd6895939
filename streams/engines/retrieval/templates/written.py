"""Values as they stand in a text."""

from collections.abc import Mapping
from typing import Any

import orjson
from jinja2 import Undefined

from streams.engines.retrieval.templates.meter import Meter


def to_json(value: Any, meter: Meter) -> str:
    """JSON without spaces, missing values as null. Raises ``TypeError`` for what JSON has not."""
    return orjson.dumps(meter.built(value), default=_plain).decode()


def written(value: Any, meter: Meter) -> str:
    """Nothing for null and missing, ``true`` and ``false``, JSON for lists and objects."""
    if isinstance(value, str):
        meter.text(len(value))
        return value
    if value is None or isinstance(value, Undefined):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list | tuple):
        return to_json(value, meter)
    meter.spend(1)
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Undefined):
        return None
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
