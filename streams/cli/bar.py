"""What ``tidewatch ingest`` shows: a bar while it runs, one line at its end."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from streams.cli.ingest_run import IngestRun


@contextlib.contextmanager
def progress_bar(work: IngestRun) -> Iterator[None]:
    """A bar with the rate on a terminal, nothing elsewhere; warnings on standard error."""
    console = Console(stderr=True, highlight=False)
    work.warn = lambda line: console.print(line, soft_wrap=True)
    if not console.is_terminal:
        yield
        return
    columns: tuple[ProgressColumn, ...] = (
        SpinnerColumn(),
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        _Documents(work),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        size = None if work.source == "-" else Path(work.source).stat().st_size
        task = bar.add_task(escape(work.name), total=size)
        work.advanced = lambda: bar.update(task, completed=work.position())
        yield


class _Documents(ProgressColumn):
    """Documents sent and the rate."""

    def __init__(self, work: IngestRun) -> None:
        super().__init__()
        self._work = work

    def render(self, task: Task) -> Text:
        """The column."""
        rate = self._work.sent / self._work.seconds if self._work.seconds > 0 else 0.0
        bad = f"  {self._work.bad:,} bad" if self._work.bad else ""
        return Text(f"{self._work.sent:>9,} documents {rate:>9,.0f}/s{bad}", style="cyan")


def say(work: IngestRun, problem: str | None) -> None:
    """What happened, on standard output; a problem, on standard error."""
    if problem is not None:
        errors = Console(stderr=True, highlight=False, soft_wrap=True)
        errors.print(f"[bold red]error:[/] {escape(problem)}")
    rate = work.acknowledged / work.seconds if work.seconds > 0 else 0.0
    parts = [f"{work.acknowledged:,} documents acknowledged in {work.seconds:.1f} s ({rate:,.0f}/s)"]
    if work.sent != work.acknowledged:
        parts.append(f"{work.sent - work.acknowledged:,} not acknowledged")
    if work.bad and work.skip_bad:
        parts.append(f"{work.bad:,} bad lines in {work.skip_bad}")
    if work.late:
        parts.append(f"{work.late:,} older than the watermark (sort the file by time, or give --lateness)")
    Console(highlight=False, soft_wrap=True).print(escape("; ".join(parts)))
