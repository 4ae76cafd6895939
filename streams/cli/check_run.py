"""One run of ``tidewatch check``: definitions and documents in, matches out, with counts. No server, no broker."""

import asyncio
import contextlib
import gc
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray
from rich.markup import escape

from schemas.api.base import JsonObject
from schemas.errors import DecodeError
from schemas.events.document import DocumentEvent
from schemas.manifest import ManifestError
from streams.cli.check_definitions import CheckedAlert, entry, read_alerts
from streams.cli.check_documents import read_document
from streams.cli.lines import LineTooLongError, line_batches, open_source
from streams.cli.manifests import iter_manifest
from streams.cli.output import Put, replaced
from streams.cli.process import CommandError
from streams.engines.retrieval.errors import StageError
from streams.engines.retrieval.execution.memory import MemoryCorpus
from streams.engines.retrieval.execution.surroundings import Surroundings
from streams.engines.retrieval.execution.tail import run_tail
from streams.engines.retrieval.percolate.percolator import Hit, Percolator

BATCH: Final = 512
SHOWN_ERRORS: Final = 3
_SCORE: Final = len(b"1.0}")
PutBad = Callable[[int, bytes, DecodeError], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did."""

    documents: int
    alerts: int
    matches: int
    """Pairs of a document and an alert."""
    compile_seconds: float
    """Definitions from file to index."""
    match_seconds: float
    """Documents from file to file: reading, decoding, matching and writing."""
    documents_per_second: float
    peak_memory_bytes: int
    """The most memory the process has held so far."""
    skipped_alerts: int
    skipped_lines: int

    def line(self) -> bytes:
        """The JSON of the summary."""
        return orjson.dumps(asdict(self))


@dataclass
class CheckRun:
    """One run and its counts. With ``skip_bad`` it goes on after what cannot be checked: ``warn`` is told, bad
    lines of documents are kept in that file."""

    definitions: str
    documents: str
    now: datetime
    skip_bad: Path | None = None
    warn: Callable[[str], None] = lambda _: None
    advanced: Callable[[], None] = lambda: None
    """Called whenever the counts have moved."""
    position: Callable[[], int] = lambda: 0
    """Bytes of the documents that have been read."""
    alerts: int = 0
    checked: int = 0
    matches: int = 0
    skipped_alerts: int = 0
    skipped_lines: int = 0
    compile_seconds: float = 0.0
    match_seconds: float = 0.0
    _plain: NDArray[np.object_] | None = field(default=None, init=False)
    """By alert number its entry, where every alert covers every document and scores 1.0."""
    _failed: int = field(default=0, init=False)

    def run(self, put: Callable[[bytes], object]) -> Summary:
        """Check every document; ``put`` takes the lines of those that matched, in input order.

        Raises :class:`CommandError` for what cannot be checked, ``OSError``.
        """
        with _uncollected(), asyncio.Runner() as self._runner:
            started = time.perf_counter()
            percolator = self._compile()
            self.compile_seconds = time.perf_counter() - started
            started = time.perf_counter()
            with open_source(self.documents) as source, self._bad_lines() as put_bad:
                self.position = source.position
                try:
                    for lines in line_batches(source, BATCH):
                        put(self._lines(percolator, self._read(lines, put_bad)))
                        self.match_seconds = time.perf_counter() - started
                        self.advanced()
                except LineTooLongError as error:
                    raise CommandError(f"{self.documents}: {error}") from error
            self.match_seconds = time.perf_counter() - started
        return self.summary()

    def summary(self) -> Summary:
        """The counts so far."""
        return Summary(
            documents=self.checked,
            alerts=self.alerts,
            matches=self.matches,
            compile_seconds=round(self.compile_seconds, 3),
            match_seconds=round(self.match_seconds, 3),
            documents_per_second=round(self.rate, 1),
            peak_memory_bytes=peak_memory(),
            skipped_alerts=self.skipped_alerts,
            skipped_lines=self.skipped_lines,
        )

    @property
    def rate(self) -> float:
        """Documents a second."""
        return self.checked / self.match_seconds if self.match_seconds > 0 else 0.0

    def _compile(self) -> Percolator[CheckedAlert]:
        try:
            alerts = read_alerts(iter_manifest([self.definitions]), self._refuse)
        except (ManifestError, UnicodeDecodeError) as error:
            raise CommandError(str(error)) from error
        self.alerts = len({alert.name for alert in alerts})
        if not alerts:
            raise CommandError(f"{self.definitions}: there is no alert to check")
        self.advanced()
        percolator = Percolator(alerts, attrgetter("plan"))
        if all(alert.collections is None and not alert.plan.searches and alert.body is None for alert in alerts):
            self._plain = np.full(len(alerts), None, dtype=object)
            for number in percolator.together():
                self._plain[number] = entry(alerts[number].name)
        return percolator

    def _refuse(self, error: ManifestError) -> None:
        if self.skip_bad is None:
            raise error
        self.skipped_alerts += 1
        self._warn(str(error), self.skipped_alerts, "alerts")

    def _warn(self, message: str, count: int, what: str) -> None:
        if count <= SHOWN_ERRORS:
            self.warn(f"[yellow]skipped[/] {escape(message)}")
        elif count == SHOWN_ERRORS + 1:
            self.warn(f"[yellow]skipped[/] more {what}; they are counted at the end")

    @contextlib.contextmanager
    def _bad_lines(self) -> Iterator[PutBad]:
        """What is done with a line that is no document: the run ends, or it is counted and kept."""
        with contextlib.ExitStack() as files:
            output: Put | None = None

            def put(number: int, line: bytes, error: DecodeError) -> None:
                nonlocal output
                message = f"{self.documents} line {number}: {error}"
                if self.skip_bad is None:
                    raise CommandError(message)
                self.skipped_lines += 1
                if output is None:
                    output = files.enter_context(replaced(self.skip_bad))
                output(line + b"\n")
                self._warn(message, self.skipped_lines, "lines")

            yield put

    def _read(self, lines: Sequence[tuple[int, bytes]], put_bad: PutBad) -> list[DocumentEvent]:
        found: list[DocumentEvent] = []
        now = self.now
        for number, line in lines:
            try:
                document = read_document(line, number, now)
            except DecodeError as error:
                put_bad(number, line, error)
            else:
                if document is not None:
                    found.append(document)
        return found

    def _lines(self, percolator: Percolator[CheckedAlert], documents: list[DocumentEvent]) -> bytes:
        """The output of a batch: a line for each document that matched."""
        self.checked += len(documents)
        parts: list[bytes] = []
        if self._plain is not None:
            found = percolator.find(documents)
            self.matches += len(found.numbers)
            entries: list[bytes] = self._plain[found.numbers].tolist()
            for document, (first, last) in zip(documents, pairwise(found.bounds), strict=True):
                if first < last:
                    parts.append(_line(document, entries[first:last]))
            return b"".join(parts)
        for document, hits in zip(documents, percolator.match(documents), strict=True):
            told = self._entries(document, hits) if hits else None
            if told:
                self.matches += len(told)
                parts.append(_line(document, told))
        return b"".join(parts)

    def _entries(self, document: DocumentEvent, hits: Sequence[Hit[CheckedAlert]]) -> list[bytes]:
        """Each alert once: it may have several sets of inputs."""
        collection = document.collection_id
        found: dict[str, bytes] = {}
        for hit in hits:
            alert = hit.alert
            if alert.name in found or (collection and not alert.covers(collection)):
                continue
            score: float | None = hit.score
            if alert.body is not None:
                score = self._finished(alert, alert.body, document, hit)
            if score is not None:
                found[alert.name] = (
                    alert.entry if score == 1.0 else alert.entry[:-_SCORE] + orjson.dumps(score) + b"}"
                )
        return list(found.values())

    def _finished(
        self, alert: CheckedAlert, body: JsonObject, document: DocumentEvent, hit: Hit[CheckedAlert]
    ) -> float | None:
        """The score once the alert's last stages have run; ``None`` when it does not match after all."""
        surroundings = Surroundings(MemoryCorpus(), self.now, time.monotonic)
        work = run_tail(alert.plan, body, document, hit, surroundings)
        try:
            fired = self._runner.run(work)
        except StageError as error:
            self._failed += 1
            self._warn(f"{alert.name!r} on {document.document_id}: {error}", self._failed, "failures of stages")
            return None
        return None if fired is None else fired.score


def _line(document: DocumentEvent, entries: list[bytes]) -> bytes:
    name = orjson.dumps(document.document_id)
    return b'{"document_id":%b,"matches":[%b]}\n' % (name, b",".join(entries))


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector, which would walk every alert again and again while they are made: what a run
    makes lives to its end or is freed at once."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def peak_memory() -> int:
    """The most bytes this process has held in memory."""
    with contextlib.suppress(OSError):
        # What getrusage says begins with the memory of whoever started the process.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts in bytes, others in kilobytes.
    return peak if sys.platform == "darwin" else peak * 1024
