"""One run of ``tidewatch ingest``: lines → events → acknowledged records, with counts."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO

from rich.markup import escape

from schemas.errors import DecodeError
from schemas.headers import DefinitionsVersion
from streams.cli.documents import Target, parse_line
from streams.cli.lines import numbered_lines, open_source
from streams.cli.process import CommandError
from streams.runtime.broker import Broker
from streams.runtime.clock import Clock, utc_now
from streams.runtime.publisher import Publisher

SHOWN_ERRORS = 3


@dataclass
class IngestRun:
    """One run over one source, and its counts."""

    source: str
    target: Target
    skip_bad: Path | None = None
    rate: float | None = None
    clock: Clock = utc_now
    read: int = 0
    bad: int = 0
    sent: int = 0
    acknowledged: int = 0
    late: int = 0
    seconds: float = 0.0
    advanced: Callable[[], None] = lambda: None
    """Called whenever the counts have moved."""
    warn: Callable[[str], None] = lambda _: None
    """Shows a line of rich markup to whoever watches."""
    position: Callable[[], int] = lambda: 0
    """Bytes of the source that have been read."""

    @property
    def name(self) -> str:
        """The source in words."""
        return "stdin" if self.source == "-" else Path(self.source).name

    async def publish(self, broker: Broker, version: DefinitionsVersion | None, lateness: timedelta) -> None:
        """Send every line. Raises :class:`CommandError` for a bad line, :class:`PublishError`, ``OSError``."""
        started = time.monotonic()
        with open_source(self.source) as source, self._bad_lines() as put_bad:
            self.position = source.position
            publisher = Publisher(
                broker, definitions=version, producer=f"ingest:{self.name}"[:200], lateness=lateness
            )
            try:
                async with publisher:
                    async for lines in numbered_lines(source):
                        for number, line in lines:
                            self.read += 1
                            try:
                                event = parse_line(line, self.target, self.clock())
                            except DecodeError as error:
                                put_bad(number, line, error)
                                continue
                            await publisher.publish(event)
                            if self.rate is not None:
                                await self._pace(publisher.sent, started)
                        self._count(publisher, started)
            finally:
                self._count(publisher, started)

    async def _pace(self, sent: int, started: float) -> None:
        assert self.rate is not None
        ahead = sent / self.rate - (time.monotonic() - started)
        if ahead > 0:
            await asyncio.sleep(ahead)

    def _count(self, publisher: Publisher, started: float) -> None:
        self.sent, self.acknowledged, self.late = publisher.sent, publisher.acknowledged, publisher.late
        self.seconds = time.monotonic() - started
        self.advanced()

    @contextlib.contextmanager
    def _bad_lines(self) -> Iterator[Callable[[int, bytes, DecodeError], None]]:
        """What is done with a bad line: the run ends, or it goes to the file, made with the first one."""
        with contextlib.ExitStack() as files:
            output: IO[bytes] | None = None

            def put(number: int, line: bytes, error: DecodeError) -> None:
                nonlocal output
                self.bad += 1
                message = f"{self.source} line {number}: {error}"
                if self.skip_bad is None:
                    raise CommandError(message)
                if output is None:
                    output = files.enter_context(self.skip_bad.open("wb"))
                output.write(line + b"\n")
                if self.bad <= SHOWN_ERRORS:
                    self.warn(f"[yellow]skipped[/] {escape(message)}")
                elif self.bad == SHOWN_ERRORS + 1:
                    self.warn(f"[yellow]skipped[/] more; all of them are in {escape(str(self.skip_bad))}")

            yield put
