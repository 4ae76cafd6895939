"""Lines of a file or of standard input, read in a thread so that a slow source does not stop the sends."""

import asyncio
import contextlib
import gzip
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import cast

CHUNK_BYTES = 256 * 1024
MAX_LINE_BYTES = 16 * 1024 * 1024


class LineTooLongError(ValueError):
    """A line is longer than anything that could be sent."""


@contextlib.contextmanager
def open_source(name: str) -> Iterator[BufferedIOBase]:
    """A file, decompressed when its name ends in ``.gz``, or standard input for ``-``. Raises ``OSError``."""
    if name == "-":
        yield cast(BufferedIOBase, sys.stdin.buffer)
    elif name.endswith(".gz"):
        with gzip.open(name, "rb") as compressed:
            yield compressed
    else:
        with Path(name).open("rb") as plain:
            yield plain


async def numbered_lines(source: BufferedIOBase) -> AsyncIterator[list[tuple[int, bytes]]]:
    """The lines as they come, numbered from 1, several at a time. Blank lines are counted and left out.

    Raises ``OSError`` (also for a broken archive) and :class:`LineTooLongError`.
    """
    chunks: asyncio.Queue[bytes | BaseException] = asyncio.Queue(4)
    loop = asyncio.get_running_loop()

    def read() -> None:
        def put(item: bytes | BaseException) -> None:
            asyncio.run_coroutine_threadsafe(chunks.put(item), loop).result()

        # The loop may be gone while this waits for input: then nobody listens any more.
        with contextlib.suppress(RuntimeError, asyncio.CancelledError):
            try:
                while chunk := source.read1(CHUNK_BYTES):
                    put(chunk)
                put(b"")
            except (OSError, EOFError) as error:
                put(error)

    # A daemon: a read of a terminal or a pipe cannot be interrupted, and must not hold the process.
    threading.Thread(target=read, name="reader", daemon=True).start()
    number, rest = 0, b""
    while True:
        chunk = await chunks.get()
        if isinstance(chunk, BaseException):
            raise OSError(f"after line {number}: {chunk}") from chunk
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
