import asyncio
import gzip
import io
import os
import random
from pathlib import Path

import pytest

from streams.cli import lines
from streams.cli.lines import LineTooLongError, Source, numbered_lines, open_source


def in_memory(text: bytes) -> Source:
    return Source(io.BytesIO(text).read1)


async def read(source: Source) -> list[tuple[int, bytes]]:
    return [item async for batch in numbered_lines(source) for item in batch]


async def test_lines_are_numbered_as_an_editor_numbers_them(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = random.Random(5)
    text = b"\n".join(generator.choice([b"", b"  ", b"x" * generator.randrange(40)]) for _ in range(500))
    wanted = [(number, line) for number, line in enumerate(text.split(b"\n"), 1) if line.strip()]
    for size in (1, 3, 64, 100_000):
        monkeypatch.setattr(lines, "CHUNK_BYTES", size)
        assert await read(in_memory(text)) == wanted
        assert await read(in_memory(text + b"\n")) == wanted


async def test_an_archive_is_decompressed_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    whole = tmp_path / "a.jsonl.gz"
    whole.write_bytes(gzip.compress(b"1\n2\n"))
    with open_source(str(whole)) as source:
        assert await read(source) == [(1, b"1"), (2, b"2")]
    broken = tmp_path / "b.jsonl.gz"
    broken.write_bytes(gzip.compress(os.urandom(9000))[:-100])
    with open_source(str(broken)) as source, pytest.raises(OSError, match="after line"):
        await read(source)


async def test_an_endless_line_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1000)
    with pytest.raises(LineTooLongError, match="line 2 is longer"):
        await read(in_memory(b"a\n" + b"x" * 1_000_000))


async def test_a_line_of_a_pipe_comes_before_the_pipe_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setattr(lines, "STDIN", reading)
    with os.fdopen(writing, "wb", buffering=0) as sink, open_source("-") as source:
        stream = numbered_lines(source)
        sink.write(b"first\nsec")
        async with asyncio.timeout(5):
            assert await anext(stream) == [(1, b"first")]
            sink.write(b"ond\n")
            assert await anext(stream) == [(2, b"second")]
            sink.close()
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
    os.close(reading)
