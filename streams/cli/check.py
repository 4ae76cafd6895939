"""``tidewatch check``: alerts against documents, both from files, by the engine that match runs."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from streams.cli.bar import progress_bar
from streams.cli.check_run import CheckRun, Summary
from streams.cli.lines import STDIN
from streams.cli.manifests import files_of
from streams.cli.output import Put, refuse_overwriting, replaced, standard_output, told_failures
from streams.cli.process import fail
from streams.runtime.clock import utc_now


def check(
    definitions: Annotated[
        str,
        typer.Argument(help="Alerts as for apply: YAML or JSON lines, .gz too; a file, a folder, - for stdin."),
    ],
    documents: Annotated[str, typer.Argument(help="JSON lines; .gz is decompressed; - reads stdin.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the matches here, not to standard output.", dir_okay=False),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line of counts and times; matches only go to --out.")
    ] = False,
    skip_bad: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Go on after alerts and lines that cannot be checked; such lines are written here.",
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Check alerts against documents before switching them on: no server, no broker, no database.

    Every alert of DEFINITIONS, enabled or not, is checked against every document, unless both name a collection.
    In DOCUMENTS every field of an object is payload, and [bold]document_id[/] (or the line's number) names it; an
    object whose [bold]type[/] is document.upserted is a document event. Each document that matched is one line
    {"document_id", "matches": [{"alert", "score"}]}, in the order of the input. Exits 1 at the first alert or line
    that cannot be checked; the files named by options are then as they were.
    """
    if definitions == "-" and documents == "-":
        fail("only one of DEFINITIONS and DOCUMENTS can be standard input", 2)
    for path in (definitions, documents):
        if path != "-" and not Path(path).exists():
            fail(f"{path}: no such file", 2)
    work = CheckRun(definitions, documents, utc_now(), skip_bad)
    with told_failures():
        refuse_overwriting((out, skip_bad), _inputs(definitions, documents))
        tell = standard_output() if json else None
        with _output(out, json) as put, progress_bar(work, documents, "check", lambda: _counts(work)):
            summary = work.run(put)
        if tell is not None:
            tell(summary.line() + b"\n")
        else:
            Console(stderr=out is None, highlight=False, soft_wrap=True).print(_words(summary))


def _inputs(definitions: str, documents: str) -> Iterator[Path | int]:
    for path in (definitions, documents):
        if path != "-":
            yield from files_of(Path(path))
        elif sys.stdin is not None:
            yield STDIN


@contextlib.contextmanager
def _output(out: Path | None, json: bool) -> Iterator[Put]:
    if out is not None:
        with replaced(out) as put:
            yield put
    elif json:
        yield lambda _: None
    else:
        yield standard_output()


def _words(summary: Summary) -> str:
    text = (
        f"{summary.documents:,} documents, {summary.alerts:,} alerts: {summary.matches:,} matches; compiled in"
        f" {summary.compile_seconds:.1f} s, checked in {summary.match_seconds:.1f} s"
        f" ({summary.documents_per_second:,.0f}/s), {summary.peak_memory_bytes / 2**20:,.0f} MiB"
    )
    if summary.skipped_alerts:
        text += f"; {summary.skipped_alerts:,} alerts skipped"
    return text + (f"; {summary.skipped_lines:,} lines skipped" if summary.skipped_lines else "")


def _counts(work: CheckRun) -> str:
    """Documents checked, the rate and the matches."""
    if not work.checked:
        return f"compiling {work.alerts:,} alerts" if work.alerts else "reading alerts"
    return f"{work.checked:>9,} documents {work.rate:>9,.0f}/s  {work.matches:,} matches"
