"""Actions that write documents: page by page, each page's writes committed with how far the walk has come.

A page is read, worked on and written in one step. A worker that is killed leaves whole steps; the one that takes
over goes on behind the last. Every write has an event id that derives from the job and the document: one that the
relay sends again is counted and checked once.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from schemas.events.document import DocumentEvent
from schemas.events.document_patch import DocumentPatch
from schemas.headers import PATCH, CauseDepthError, SourcePosition, with_cause
from schemas.ids import derived_id
from streams.act.actions.action import Finish, finished
from streams.act.actions.resources import written_to
from streams.act.failures import ActionError
from streams.act.lease import Job
from streams.act.outcome import Outcome
from streams.act.walk import Found, Source, read_page, stored_count
from streams.act.work import Work
from streams.retrieval.reading import Stored
from streams.runtime.writes import DocumentTooLargeError, Write, queue_writes, write_of

FAILURES_KEPT: Final = 1_000
"""Documents that failed are told by id, up to so many."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a document came to: something to write, nothing to write, or a problem."""

    event: DocumentEvent | None = None
    made_from: SourcePosition | None = None
    """The version it was made from, where it replaces that very document."""
    changed: tuple[str, ...] = ()
    """Root fields that differ from that version."""
    patch: DocumentPatch | None = None
    """What it changes whatever the document stands at by then; instead of ``made_from``."""
    matched: bool = True
    problem: str | None = None


Maker = Callable[[Sequence[Found]], Awaitable[Sequence[Made]]]
"""From the documents of a page, in their order, to what they come to."""


@dataclass(frozen=True, slots=True)
class Done:
    """How far a walk is: the checkpoint of its steps, and in the end what is told of it."""

    positions: Mapping[str, int]
    """Per source partition the offset up to which documents had been collected when the walk began."""
    total: int
    source: int = 0
    """Which of the sources is being walked."""
    after: str = ""
    read: int = 0
    selected: int = 0
    """Documents that fit the filters."""
    matched: int = 0
    written: int = 0
    unchanged: int = 0
    failed: int = 0
    failures: Sequence[Mapping[str, str]] = field(default_factory=tuple)

    @property
    def fraction(self) -> float:
        """How much of it is done, as far as that is known."""
        return min(1.0, self.read / self.total) if self.total else 1.0

    def facts(self) -> dict[str, Any]:
        """What is told of a walk that has ended."""
        return {
            "documents_read": self.read,
            "documents_selected": self.selected,
            "documents_matched": self.matched,
            "documents_written": self.written,
            "documents_unchanged": self.unchanged,
            "documents_failed": self.failed,
            "failures": list(self.failures),
            "positions": dict(self.positions),
        }


def causes_of(job: Job) -> tuple[str, ...]:
    """The causes of what a job writes. Raises :class:`ActionError` when its chain would be too long."""
    try:
        return with_cause(job.command.caused_by, job.command.trigger_id)
    except CauseDepthError as error:
        raise ActionError(str(error)) from error


async def rewrite(work: Work, sources: Sequence[Source], size: int, make: Maker, **told: Any) -> Finish:
    """:func:`rewritten` as a whole action."""
    return finished(await rewritten(work, sources, size, make, **told))


async def rewritten(work: Work, sources: Sequence[Source], size: int, make: Maker, **told: Any) -> Outcome:
    """Walk the sources in their order, ``size`` documents a step, and write what ``make`` makes of them; ``told``
    is told with what was done. The job fails when no document that was tried could be worked on."""
    causes = causes_of(work.job)
    done = await _begun(work, sources)
    while done.source < len(sources):
        async with work.read() as connection:
            page = await read_page(connection, sources[done.source], done.after, size)
        made = await make(page.found) if page.found else ()
        targets = sorted({what.event.collection_id for what in made if what.event is not None})
        done = replace(
            done,
            source=done.source if page.last else done.source + 1,
            after=page.last,
            read=done.read + page.read,
            selected=done.selected + len(page.found),
        )
        done, writes = _counted(done, page.found, made, work.job.job_id)
        words = f"{done.read:,} of {done.total:,} documents, {done.written:,} written"
        async with work.step(asdict(done), done.fraction, words) as connection:
            # A collection may have been deleted since the walk began: nothing is written into one that is gone.
            for collection_id in targets:
                await written_to(connection, work.job.command.namespace_id, collection_id)
            await queue_writes(connection, writes, causes)
    error = None
    if done.failed and done.failed == done.selected:
        error = f"none of the {done.failed:,} documents could be worked on; the first: {done.failures[0]['error']}"
    return Outcome(num_documents=done.written, facts={**told, **done.facts()}, error=error)


async def _begun(work: Work, sources: Sequence[Source]) -> Done:
    if work.checkpoint is not None:
        return Done(**work.checkpoint)
    namespace_id = work.job.command.namespace_id
    async with work.read() as connection:
        total = await stored_count(connection, namespace_id, [source.collection_id for source in sources])
        return Done(await Stored(connection, namespace_id).position(), total)


def _counted(done: Done, found: Sequence[Found], made: Sequence[Made], job_id: str) -> tuple[Done, list[Write]]:
    writes: list[Write] = []
    problems: list[dict[str, str]] = []
    for one, what in zip(found, made, strict=True):
        problem = what.problem
        if problem is None and what.event is not None:
            event_id = derived_id("evt_", job_id, one.event.collection_id, one.event.document_id)
            try:
                headers = {} if what.patch is None else {PATCH: what.patch.encode()}
                event = replace(what.event, event_id=event_id)
                writes.append(write_of(event, what.made_from, what.changed, headers))
            except DocumentTooLargeError as error:
                problem = str(error)
        if problem is not None:
            problems.append({**_name(one.event), "error": problem[:500]})
    matched = sum(what.matched for what in made)
    unchanged = sum(what.matched and what.event is None and what.problem is None for what in made)
    counted = replace(
        done,
        matched=done.matched + matched,
        unchanged=done.unchanged + unchanged,
        written=done.written + len(writes),
        failed=done.failed + len(problems),
        failures=[*done.failures, *problems][:FAILURES_KEPT],
    )
    return counted, writes


def _name(event: DocumentEvent) -> dict[str, str]:
    return {"collection_id": event.collection_id, "document_id": event.document_id}
