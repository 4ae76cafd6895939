"""What of a document a conditional trigger measures: an embedding, a payload field, or that it came. Pure."""

from dataclasses import dataclass
from typing import Final, Literal

from streams.engines.rules.errors import ScheduleError

MeasuredKind = Literal["embedding", "number", "category", "document"]

_PREFIXES: Final[dict[str, MeasuredKind]] = {"number:": "number", "category:": "category", "document:": "document"}


@dataclass(frozen=True, slots=True, order=True)
class Measured:
    """One measured thing. Triggers that measure the same share its sketches."""

    kind: MeasuredKind
    name: str
    """Feature URI of an embedding, dotted payload path of a number or category, empty for documents."""

    @property
    def key(self) -> str:
        """How its rows are called: the feature URI itself, or the kind before the path."""
        return self.name if self.kind == "embedding" else f"{self.kind}:{self.name}"

    @classmethod
    def of_key(cls, key: str) -> "Measured":
        """Read :attr:`key`."""
        for prefix, kind in _PREFIXES.items():
            if key.startswith(prefix):
                return cls(kind, key[len(prefix) :])
        return cls("embedding", key)

    @classmethod
    def of_feature(cls, uri: str) -> "Measured":
        """An embedding. Raises :class:`ScheduleError` for a URI that reads like a field's rows."""
        if uri.startswith(tuple(_PREFIXES)):
            raise ScheduleError(f"feature_uri {uri!r} is no feature; name a payload field with `field`")
        return cls("embedding", uri)


DOCUMENTS: Final = Measured("document", "")
"""Only that documents came: what volume counts."""
