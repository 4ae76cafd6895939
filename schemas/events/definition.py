"""``definitions``: a versioned definition or its tombstone; the first record names the stream epoch.

PostgreSQL is the truth; this topic tells the stations what changed. Version = (epoch, n) with n from one
counter row, so the order of versions is the order of commits (design section 3).
"""

from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast, get_args

import orjson

from schemas.errors import DecodeError
from schemas.headers import DefinitionsVersion

Kind = Literal[
    "stream",
    "namespace",
    "collection",
    "retriever",
    "alert",
    "trigger",
    "cluster_trigger",
    "cluster",
    "taxonomy",
    "webhook",
]
KINDS: Final = frozenset(get_args(Kind))


@dataclass(frozen=True, slots=True)
class DefinitionRecord:
    """One definition as it stands at ``version``. Secrets are never in ``body``, only their ids."""

    kind: Kind
    namespace_id: str
    """Empty for ``namespace``, ``webhook`` and ``stream`` records, which belong to the server."""
    id: str
    number: int
    """The definition's own small number, never reused; for alerts it ends their execution ids."""
    version: DefinitionsVersion
    deleted: bool = False
    name: str | None = None
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> bytes:
        """``kind/ns/id``."""
        return f"{self.kind}/{self.namespace_id}/{self.id}".encode()


def stream_record(epoch: str) -> DefinitionRecord:
    """The first record of the topic: it says which stream this is."""
    return DefinitionRecord("stream", "", "epoch", 0, DefinitionsVersion(epoch, 0))


def encode_definition(record: DefinitionRecord) -> bytes:
    """The JSON of a definition. Deletions travel as a body-less record, not as a null, so that every reader
    learns the version; compaction keeps that small record."""
    raw: dict[str, Any] = {
        "kind": record.kind,
        "namespace_id": record.namespace_id,
        "id": record.id,
        "number": record.number,
        "epoch": record.version.epoch,
        "version": record.version.number,
    }
    if record.name is not None:
        raw["name"] = record.name
    if record.deleted:
        raw["deleted"] = True
    else:
        raw["body"] = record.body
    return orjson.dumps(raw)


def decode_definition(value: bytes | None) -> DefinitionRecord:
    """One record of ``definitions``. Raises :class:`DecodeError`."""
    if value is None:
        raise DecodeError("a definition record has no value")
    try:
        raw = orjson.loads(value)
        kind = raw["kind"]
        if kind not in KINDS:
            raise DecodeError(f"kind must be one of {sorted(KINDS)}")
        deleted = bool(raw.get("deleted", False))
        body = {} if deleted else raw["body"]
        texts = (raw["namespace_id"], raw["id"], raw["epoch"])
        if not all(type(text) is str for text in texts) or type(body) is not dict:
            raise DecodeError("a definition has text ids and an object as its body")
        return DefinitionRecord(
            kind=cast(Kind, kind),
            namespace_id=raw["namespace_id"],
            id=raw["id"],
            number=int(raw["number"]),
            version=DefinitionsVersion(raw["epoch"], int(raw["version"])),
            deleted=deleted,
            name=raw.get("name"),
            body=body,
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, DecodeError):
            raise
        raise DecodeError(f"not a definition record: {error!r}") from error
