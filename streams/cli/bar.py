"""The bar of ``tidewatch ingest`` and ``tidewatch check`` while they run, and what ``ingest`` says at its end."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from streams.cli.check_run import CheckRun
    from streams.cli.ingest_run import IngestRun


@contextlib.contextmanager
def progress_bar(work: "IngestRun | CheckRun", path: str, name: str, counts: Callable[[], str]) -> Iterator[None]:
    """A bar called ``name`` with the ``counts`` on a terminal, nothing elsewhere; warnings on standard error.
    ``path`` is the file that is read; of standard input, ``-``, the end is not known."""
    console = Console(stderr=True, highlight=False)
    work.warn = lambda line: console.print(line, soft_wrap=True)
    if not console.is_terminal:
        yield
        return
    columns: tuple[ProgressColumn, ...] = (
        SpinnerColumn(),
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        _Counts(counts),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        size = None if path == "-" else Path(path).stat().st_size
        task = bar.add_task(escape(name), total=size)
        work.advanced = lambda: bar.update(task, completed=work.position())
        yield


class _Counts(ProgressColumn):
    def __init__(self, counts: Callable[[], str]) -> None:
        super().__init__()
        self._counts = counts

    def render(self, task: Task) -> Text:
        """The column."""
        return Text(self._counts(), style="cyan")


def sent(work: "IngestRun") -> str:
    """Documents sent and the rate."""
    rate = work.sent / work.seconds if work.seconds > 0 else 0.0
    bad = f"  {work.bad:,} bad" if work.bad else ""
    return f"{work.sent:>9,} documents {rate:>9,.0f}/s{bad}"


def say(work: "IngestRun", problem: str | None) -> None:
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
