"""What goes through the pipes between the act station and its child: one pickle per frame, arrays beside it.

Layout: 8-byte little-endian count of parts, the 8-byte size of each, then the parts. The first part is the
pickle (protocol 5), the others are its out-of-band buffers, so an array is neither copied into the pickle nor
out of it.
"""

import pickle
import struct
from collections.abc import Iterator, Sequence
from typing import Any

WORD = 8
CHUNK = 1 << 20


def parts_of(value: object) -> list[memoryview]:
    """The parts of a frame: the pickle first, then its buffers (views, not copies)."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return [memoryview(body), *(buffer.raw() for buffer in buffers)]


def header_of(parts: Sequence[memoryview]) -> bytes:
    """The counts and sizes in front of ``parts``."""
    return struct.pack(f"<{len(parts) + 1}Q", len(parts), *(part.nbytes for part in parts))


def chunks_of(value: object) -> Iterator[bytes | memoryview]:
    """A frame in pieces of at most a megabyte, so that a writer never buffers a large array whole."""
    parts = parts_of(value)
    yield header_of(parts)
    for part in parts:
        for start in range(0, part.nbytes, CHUNK):
            yield part[start : start + CHUNK]


def word(data: bytes) -> int:
    """One size or count."""
    return int.from_bytes(data, "little")


def value_of(parts: Sequence[bytearray | bytes]) -> Any:
    """The value of a frame. Only for frames of our own processes: a pickle can run code."""
    return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301
