"""The values of a statement: whatever a caller wrote reaches the database as one of these, never as SQL."""

import json
from typing import Any

from psycopg.types.json import Jsonb


class Parameters:
    """Named values, each once. The placeholders are the only text made here."""

    def __init__(self, prefix: str = "f") -> None:
        self._prefix = prefix
        self._names: dict[Any, str] = {}
        self.values: dict[str, Any] = {}
        """Name → value, as a cursor takes them."""

    def text(self, value: str) -> str:
        """A string."""
        return f"{self._name(('text', value), value)}::text"

    def texts(self, values: list[str]) -> str:
        """An array of strings."""
        return f"{self._name(('texts', *values), values)}::text[]"

    def json(self, value: Any) -> str:
        """Any JSON value."""
        return f"{self._name(('json', json.dumps(value)), Jsonb(value))}::jsonb"

    def jsons(self, values: list[Any]) -> str:
        """An array of JSON values."""
        return f"{self._name(('jsons', json.dumps(values)), [Jsonb(value) for value in values])}::jsonb[]"

    def jsonpath(self, path: str) -> str:
        """A path of the SQL/JSON path language, its strings written by :func:`quoted`."""
        return f"{self._name(('jsonpath', path), path)}::jsonpath"

    def _name(self, key: Any, value: Any) -> str:
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"{self._prefix}{len(self._names)}"
            self.values[name] = value
        return f"%({name})s"


def storable(text: str) -> bool:
    """Whether PostgreSQL can hold a text: what it cannot hold is in no document."""
    if "\x00" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def quoted(text: str) -> str:
    """A string in the SQL/JSON path language: that of JSON, in ASCII."""
    return json.dumps(text)
