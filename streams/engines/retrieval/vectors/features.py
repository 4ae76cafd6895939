"""Which of a document's vectors a feature URI means (contract section 6, feature URI)."""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final

_URI: Final = re.compile(r"mixpeek://([^@/]+)@([^/]+)/(.+)")


def resolve_feature(wanted: str, names: Collection[str]) -> str | None:
    """The name among ``names`` that ``wanted`` means: itself, else by full index name
    (``text_extractor_v1_embedding``), else by the last segment. ``None`` when there is none, or when two fit
    equally well. Two full URIs are never the same unless equal: they are other extractors' vectors.
    """
    if wanted in names:
        return wanted
    return _resolve(wanted, tuple(names))


@lru_cache(maxsize=4_096)
def _resolve(wanted: str, names: tuple[str, ...]) -> str | None:
    ours = _forms(wanted)
    for level in (0, 1):
        found = [name for name in names if _meet(wanted, ours, name, _forms(name), level)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _forms(name: str) -> tuple[str, str] | None:
    """The full index name and the last segment of a URI; ``None`` for a bare name."""
    found = _URI.fullmatch(name)
    if found is None:
        return None
    extractor, version, output = found.groups()
    return f"{extractor}_{version}_{output}", output.rsplit("/", 1)[-1]


def _meet(
    wanted: str, ours: tuple[str, str] | None, name: str, theirs: tuple[str, str] | None, level: int
) -> bool:
    if ours is not None and theirs is None:
        return ours[level] == name
    if ours is None and theirs is not None:
        return theirs[level] == wanted
    return False
