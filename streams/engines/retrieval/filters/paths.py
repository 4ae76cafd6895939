"""Dotted paths into a document (contract section 5, last paragraph)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

MAX_PATH_LENGTH: Final = 1_024
MAX_SEGMENTS: Final = 32
_PATHS_KEPT: Final = 4_096
_SHORT: Final = 64
_SHORT_SEGMENTS: Final = 8


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path. Two paths are the same when their text is."""

    text: str
    splits: tuple[tuple[tuple[str, int], ...], ...] = field(compare=False, repr=False)
    """For each segment: the keys that may begin there (a key may itself hold dots), longest first, each with
    the index of the segment after it."""

    def __hash__(self) -> int:
        # As the generated one, at half the cost: each alert's conditions are looked up by path several times.
        return hash(self.text)


def parse_path(text: str) -> Path:
    """Read a path; equal short ones are one object. Raises ``ValueError`` when it is empty or too long."""
    return _kept(text) if len(text) <= _SHORT and text.count(".") < _SHORT_SEGMENTS else _parse(text)


def _parse(text: str) -> Path:
    if not text:
        raise ValueError("a path must not be empty")
    segments = text.split(".")
    if len(text) > MAX_PATH_LENGTH or len(segments) > MAX_SEGMENTS:
        raise ValueError(f"a path has at most {MAX_SEGMENTS} segments and {MAX_PATH_LENGTH} characters")
    count = len(segments)
    splits = tuple(
        tuple((".".join(segments[start:end]), end) for end in range(count, start, -1)) for start in range(count)
    )
    return Path(text, splits)


_kept: Final = lru_cache(_PATHS_KEPT)(_parse)


def resolve(root: Mapping[str, Any], path: Path) -> list[Any]:
    """Every value the path leads to; empty when the document has none (a null is a value).

    A literal key with dots comes before walking; a numeric segment indexes a list; a list of objects fans
    out. Where nothing is found at the root, the same path is tried under ``payload``.
    """
    if path.text in root:
        return [root[path.text]]
    found = _walk(root, path.splits, 0) if len(path.splits) > 1 else []
    if not found and type(payload := root.get("payload")) is dict:
        return _walk(payload, path.splits, 0)
    return found


def _walk(node: Any, splits: tuple[tuple[tuple[str, int], ...], ...], at: int) -> list[Any]:
    if at == len(splits):
        return [node]
    if isinstance(node, dict):
        for key, following in splits[at]:
            if key in node:
                found = _walk(node[key], splits, following)
                if found:
                    return found
        return []
    if type(node) is list:
        segment, following = splits[at][-1]
        if segment.isascii() and segment.isdigit():
            index = int(segment)
            return _walk(node[index], splits, following) if index < len(node) else []
        return [value for item in node if type(item) is dict for value in _walk(item, splits, at)]
    # A caller's own kind of mapping as the root; JSON has only the two above.
    return _walk(dict(node), splits, at) if isinstance(node, Mapping) else []
