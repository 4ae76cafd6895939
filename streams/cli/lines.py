"""Lines of a file or of standard input, read in a thread so that a slow source does not stop the sends."""

import asyncio
import codecs
import contextlib
import gzip
import io
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Final

STDIN: Final = 0
CHUNK_BYTES = 256 * 1024
BLOCK_BYTES = 1024 * 1024
AHEAD = 4
"""Chunks read before they are asked for."""
MAX_LINE_BYTES = 16 * 1024 * 1024


class LineTooLongError(ValueError):
    """A line is longer than anything that could be sent."""


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes to read: what is there, up to so many; empty at the end."""

    read: Callable[[int], bytes]
    position: Callable[[], int] = lambda: 0
    """Bytes that have been read of the file itself: of an archive the compressed ones."""


@contextlib.contextmanager
def open_source(name: str) -> Iterator[Source]:
    """A file, decompressed when its name ends in ``.gz``, or standard input for ``-``; without the byte order mark
    it may begin with. Raises ``OSError``, as reading does, which names the file."""
    if name == "-" and sys.stdin is None:
        raise OSError("standard input is closed")
    # Unbuffered: a buffered stream's lock, held by a thread that waits for input, is fatal at exit.
    with io.FileIO(STDIN if name == "-" else name, closefd=name != "-") as file:
        if name == "-":
            yield Source(_reader(lambda size: file.read(size) or b"", "standard input"))
        elif name.endswith(".gz"):
            with gzip.GzipFile(fileobj=file, mode="rb") as archive:
                yield Source(_reader(archive.read1, name), file.tell)
        else:
            yield Source(_reader(lambda size: file.read(size) or b"", name), file.tell)


def _reader(read: Callable[[int], bytes], name: str) -> Callable[[int], bytes]:
    begun = False

    def named(size: int) -> bytes:
        nonlocal begun
        try:
            found = read(size)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise OSError(f"{name}: {error}") from error
        if not begun and found:
            begun = True
            # An archive's first read, and a file's, is never so short that it cuts the mark.
            return found.removeprefix(codecs.BOM_UTF8) or read(size)
        return found

    return named


async def numbered_lines(source: Source) -> AsyncIterator[list[tuple[int, bytes]]]:
    """The lines as they come, numbered from 1, several at a time. Blank lines are counted and left out.

    Raises ``OSError`` (also for a broken archive) and :class:`LineTooLongError`.
    """
    chunks: asyncio.Queue[bytes | Exception] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    free = threading.Semaphore(AHEAD)
    abandoned = threading.Event()

    def read() -> None:
        item: bytes | Exception = b"more"
        while item and not isinstance(item, Exception):
            free.acquire()
            if abandoned.is_set():
                return
            try:
                item = source.read(CHUNK_BYTES)
            except (OSError, EOFError, ValueError) as error:
                item = error
            # The loop may be gone when input comes at last: then nobody listens any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(chunks.put_nowait, item)

    # A daemon: a read of a terminal or a pipe cannot be interrupted, and must not hold the process.
    threading.Thread(target=read, name="reader", daemon=True).start()
    number, rest = 0, b""
    try:
        while True:
            chunk = await chunks.get()
            free.release()
            if isinstance(chunk, Exception):
                raise OSError(f"{chunk} (after line {number})") from chunk
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop() if chunk else b""
            if len(rest) > MAX_LINE_BYTES:
                raise LineTooLongError(f"line {number + len(lines) + 1} is longer than {MAX_LINE_BYTES} bytes")
            found = [(number + index, line) for index, line in enumerate(lines, 1) if line.strip()]
            number += len(lines)
            if found:
                yield found
            if not chunk:
                return
    finally:
        abandoned.set()
        free.release()


def line_batches(source: Source, size: int) -> Iterator[list[tuple[int, bytes]]]:
    """As :func:`numbered_lines`, in the caller's thread and up to ``size`` lines at a time: for a source that is
    read as fast as its lines are used."""
    number, rest = 0, b""
    while True:
        try:
            chunk = source.read(BLOCK_BYTES)
        except (OSError, EOFError, ValueError) as error:
            raise OSError(f"{error} (after line {number})") from error
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop() if chunk else b""
        if len(rest) > MAX_LINE_BYTES:
            raise LineTooLongError(f"line {number + len(lines) + 1} is longer than {MAX_LINE_BYTES} bytes")
        for start in range(0, len(lines), size):
            part = enumerate(lines[start : start + size], number + start + 1)
            found = [(index, line) for index, line in part if line and not line.isspace()]
            if found:
                yield found
        number += len(lines)
        if not chunk:
            return
