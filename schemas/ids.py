"""Identifiers: fresh tokens for resources, derived ids for everything a crash may make twice.

Formats follow the wire contract (section 1.6). A derived id never holds a wall clock or randomness, so
a repeat of the same input has the same id and a reader can drop it.
"""

import hashlib
import secrets
import string
from typing import Final, NamedTuple

_ALPHABET: Final = string.ascii_lowercase + string.digits
_PREFIXES: Final = {
    "namespace": "ns_",
    "collection": "col_",
    "document": "doc_",
    "retriever": "ret_",
    "alert": "alt_",
    "cluster": "clust_",
    "taxonomy": "tax_",
    "trigger": "trig_",
    "cluster_trigger": "trig_",
    "execution": "exec_",
    "webhook": "wh_",
}

BASE_BYTES: Final = 12
"""Bytes of the document part of an execution id (96 bits)."""
_BASE_HEX: Final = BASE_BYTES * 2


def new_id(kind: str) -> str:
    """A fresh identifier for a resource of ``kind``, e.g. ``alt_x8k2…`` (contract 1.6)."""
    if kind == "webhook":
        return _PREFIXES[kind] + secrets.token_hex(8)
    length = 10 if kind == "collection" else 16
    return _PREFIXES[kind] + "".join(secrets.choice(_ALPHABET) for _ in range(length))


def document_key(namespace_id: str, collection_id: str, document_id: str) -> bytes:
    """The record key of one document: ``ns/collection/document``. Neither of the first two holds a ``/``."""
    return f"{namespace_id}/{collection_id}/{document_id}".encode()


class ExecutionHasher:
    """Derives the document part of execution ids for one stream epoch.

    The part is a hash of (stream epoch, namespace, event id if the producer gave one, else
    topic/partition/offset), so re-reading a record gives the same executions and another stream never does.
    """

    def __init__(self, epoch: str) -> None:
        self._start = hashlib.blake2b(epoch.encode(), digest_size=BASE_BYTES, person=b"tw-exec")
        self._place: tuple[str, str, int] | None = None
        self._from_place = self._start
        """The hash of the place that came last: many documents come from few."""

    def base(self, namespace_id: str, event_id: str | None, topic: str, partition: int, offset: int) -> bytes:
        """The 12-byte document part shared by every alert that fired on one document event."""
        if event_id is not None:
            digest = self._start.copy()
            digest.update(f"\x00{namespace_id}\x00e\x00{event_id}".encode())
            return digest.digest()
        place = (namespace_id, topic, partition)
        if place != self._place:
            start = self._start.copy()
            start.update(f"\x00{namespace_id}\x00p\x00{topic}/{partition}/".encode())
            self._place, self._from_place = place, start
        digest = self._from_place.copy()
        digest.update(b"%d" % offset)
        return digest.digest()


def decided_base(epoch: str, namespace_id: str, *parts: object) -> bytes:
    """The part of an execution id that stands for the document where there is none: what a window or a sweep
    decides, named by ``parts``."""
    digest = hashlib.blake2b(epoch.encode(), digest_size=BASE_BYTES, person=b"tw-decided")
    digest.update("\x00".join((namespace_id, *map(str, parts))).encode())
    return digest.digest()


class ExecutionRef(NamedTuple):
    """An alert execution id taken apart: the document part and the alert's number."""

    base: bytes
    alert_number: int


def execution_id(base: bytes, alert_number: int) -> str:
    """``exec_`` + 24 hex digits of the document part + the alert's number in hex."""
    return f"exec_{base.hex()}{alert_number:x}"


def parse_execution_id(value: str) -> ExecutionRef | None:
    """Take an alert execution id apart; ``None`` when it is not one of ours."""
    body = value.removeprefix("exec_")
    if body == value or len(body) <= _BASE_HEX:
        return None
    try:
        ref = ExecutionRef(bytes.fromhex(body[:_BASE_HEX]), int(body[_BASE_HEX:], 16))
    except ValueError:
        return None
    # One spelling per execution: "exec_AB…", leading zeros and signs are not ids we gave out.
    return ref if execution_id(*ref) == value else None


def derived_id(prefix: str, *parts: object) -> str:
    """A stable id from what identifies a thing, e.g. a trigger and its fire: ``prefix`` + 24 hex digits."""
    text = "\x00".join(str(part) for part in parts)
    return prefix + hashlib.blake2b(text.encode(), digest_size=12, person=b"tw-id").hexdigest()
