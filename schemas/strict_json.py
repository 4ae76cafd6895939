"""JSON from outside that can be stored: not too deep, no NUL characters, numbers that exist.

``orjson`` reads deeper nesting than it writes, and PostgreSQL takes no NUL in text: what passes here can be
stored, published and answered by every station alike.
"""

import contextlib
import json
from typing import Any, Final

import orjson

from schemas.errors import DecodeError

MAX_DEPTH: Final = 64
"""Levels of objects and lists in each other."""
_FIRST: Final = 6


def problem_in(value: Any) -> str | None:
    """Why a decoded value cannot be stored: nested too deep, or text with a NUL character. ``None`` when fine."""
    level = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                if any("\x00" in key for key in item):
                    return _NUL
                deeper.extend(item.values())
            elif isinstance(item, list):
                deeper.extend(item)
            elif isinstance(item, str) and "\x00" in item:
                return _NUL
        if not deeper:
            return None
        level = deeper
    return f"it is nested deeper than {MAX_DEPTH} levels"


_NUL: Final = "text must not contain a NUL character"


def read_object(data: bytes, what: str) -> dict[str, Any]:
    """Decode one JSON object; where a key is there twice, the last counts. Raises :class:`DecodeError`; ``what``
    names the thing in its message."""
    try:
        raw = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"not JSON: {error}") from error
    if type(raw) is not dict:
        raise DecodeError(f"{what} is a JSON object, not {type(raw).__name__}")
    # Looking at every value costs more than decoding it; most records cannot offend, and their bytes show it.
    # An escape begins with a backslash: most have none, and one character is found much faster than six.
    suspicious = (b"\\" in data and b"\\u0000" in data) or openings(data) > MAX_DEPTH
    if suspicious and (problem := problem_in(raw)) is not None:
        raise DecodeError(f"{what} cannot be stored: {problem}")
    return raw


def repeated_key(data: bytes, value: Any) -> str | None:
    """A key that is twice in one object of the JSON ``data``, whose decoded ``value`` has lost the first."""
    if b"\\" not in data:
        # Without escapes, text has the same colons in both, and each member one more.
        try:
            if data.count(b":") == orjson.dumps(value).count(b":"):
                return None
        except orjson.JSONEncodeError:
            pass  # a number that this library reads and does not write
    found: list[str] = []

    def look(members: list[tuple[str, Any]]) -> None:
        keys = {key for key, _ in members}
        if len(keys) < len(members):
            found.extend(key for key in keys if sum(other == key for other, _ in members) > 1)

    with contextlib.suppress(RecursionError):  # nested deeper than anything that is accepted further on
        json.loads(data, object_pairs_hook=look)
    return min(found, default=None)


def openings(data: bytes) -> int:
    """How many objects and lists may begin in JSON. Finding the first few is faster than counting where most
    of the bytes are a vector."""
    found = 0
    for bracket in (b"{", b"["):
        at = data.find(bracket)
        for _ in range(_FIRST):
            if at < 0:
                break
            found += 1
            at = data.find(bracket, at + 1)
        else:
            found += data.count(bracket, max(at, 0)) if at >= 0 else 0
    return found
