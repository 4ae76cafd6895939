"""What a value must be to fit its column. Pure."""

import re
from typing import Final

from schemas.errors import DecodeError

_NUL: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
"""A NUL in JSON. Behind a backslash that is not escaped itself, this is the text ``\\u0000``."""


def text(value: object) -> str:
    """A text. Raises :class:`DecodeError`."""
    if type(value) is not str:
        raise DecodeError(f"expected text, found {type(value).__name__}")
    if "\x00" in value:
        raise DecodeError("text holds a NUL character")
    return value


def maybe_text(value: object) -> str | None:
    """A text or none. Raises :class:`DecodeError`."""
    return None if value is None else text(value)


def count(value: int, bits: int = 31) -> int:
    """A number from 0 that fits so many bits. Raises :class:`DecodeError`."""
    if not 0 <= value < 1 << bits:
        raise DecodeError(f"{value} is not a count of {bits} bits")
    return value


def maybe_count(value: int | None) -> int | None:
    """A number from 0 of 31 bits, or none. Raises :class:`DecodeError`."""
    return None if value is None else count(value)


def readable(data: bytes) -> bytes:
    """JSON without NULs: PostgreSQL stores it with them, and then can look into nothing of it."""
    return _NUL.sub(rb"\1", data) if b"\\u0000" in data else data
