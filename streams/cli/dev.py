"""``tidewatch dev``: the whole system, empty, for development."""

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streams.cli.process import CommandError, load_settings, run
from streams.cli.stack import Stack, run_stack
from streams.runtime.dev.broker import BrokerKind
from streams.runtime.signals import stop_event


def dev(
    port: Annotated[int, typer.Option(help="Port of the query service.", min=1, max=65535)] = 8090,
    broker: Annotated[
        BrokerKind, typer.Option(help="tansu comes with the package; kafka needs Java 17 and Maven.")
    ] = "tansu",
    api_key: Annotated[str | None, typer.Option(help="Key to accept; a fresh one when left out.")] = None,
    env_file: Annotated[
        Path | None, typer.Option(help="Write addresses and key here once everything answers.", dir_okay=False)
    ] = None,
    partitions: Annotated[int | None, typer.Option(help="Partitions of the many-partition topics.", min=1)] = None,
) -> None:
    """Run broker, database, worker and query service until Ctrl-C. Nothing is kept afterwards."""

    async def serve(console: Console) -> None:
        with console.status("starting…") as status:

            def progress(what: str) -> None:
                if console.is_terminal:
                    status.update(f"starting {what}…")
                else:
                    console.print(f"starting {what}")

            async with run_stack(
                broker=broker, port=port, api_key=api_key, partitions=partitions, progress=progress
            ) as stack:
                status.stop()
                if env_file is not None:
                    write_environment(env_file, stack.environment)
                console.print(_welcome(stack, env_file))
                await stack.ended()

    async def main() -> None:
        console = Console(highlight=False, soft_wrap=True)
        if env_file is not None:
            if not env_file.absolute().parent.is_dir():
                raise CommandError(f"--env-file: there is no folder {env_file.absolute().parent}")
            # A reader that waits for the file must not find that of an earlier run.
            env_file.unlink(missing_ok=True)
        with stop_event() as stopping:
            serving = asyncio.create_task(serve(console))
            signalled = asyncio.create_task(stopping.wait())
            await asyncio.wait({serving, signalled}, return_when=asyncio.FIRST_COMPLETED)
            signalled.cancel()
            if not serving.done():
                console.print("\nstopping…" if console.is_terminal else "stopping")
                serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving

    run(main(), load_settings())


def write_environment(path: Path, environment: dict[str, str]) -> None:
    """Write ``KEY=value`` lines that a shell and Docker read alike. The file appears whole or not at all, and
    is for its owner only: it holds the key."""
    handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.writelines(f"{key}={value}\n" for key, value in environment.items())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _welcome(stack: Stack, env_file: Path | None) -> Panel:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    facts.add_row("API", f"[link={stack.url}]{stack.url}[/link]")
    facts.add_row("API key", f"[bold]{stack.api_key}[/]")
    facts.add_row("namespace", stack.namespace)
    facts.add_row("Kafka", stack.kafka)
    facts.add_row("database", stack.database)
    facts.add_row("logs", str(stack.logs))
    if env_file is not None:
        use = f"set -a; . {env_file}; set +a"
    else:
        wanted = ("URL", "API_KEY", "KAFKA", "KAFKA_IDEMPOTENCE", "NAMESPACE")
        use = "export " + " ".join(f"TIDEWATCH_{name}={stack.environment[f'TIDEWATCH_{name}']}" for name in wanted)
    steps = Text("\n").join(
        (
            Text("Next, in another shell:", style="dim"),
            Text(use, style="cyan"),
            Text("tidewatch apply alerts.yaml", style="cyan"),
            Text("tidewatch ingest documents.jsonl --collection NAME", style="cyan"),
        )
    )
    return Panel(
        Group(facts, Text(), steps),
        title="[bold green]Tidewatch is up[/]",
        subtitle="[dim]Ctrl-C stops it[/]",
        border_style="green",
        padding=(1, 2),
        expand=False,
    )
