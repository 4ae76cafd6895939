"""``tidewatch topics``: create what is missing, list what is there."""

from datetime import timedelta
from importlib.metadata import version
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from schemas.asyncapi.document import asyncapi
from schemas.topics import TOPICS
from streams.cli.process import load_settings, run
from streams.runtime.broker import Broker
from streams.runtime.database import migrate

topics = typer.Typer(help="Create or list the topics.", no_args_is_help=True)


@topics.command()
def create() -> None:
    """Create every topic that is missing, and the database's tables. What exists is left as it is."""
    settings = load_settings()

    async def main() -> None:
        console = Console(highlight=False, soft_wrap=True)
        applied = await migrate(settings.database)
        created = await Broker(settings).create_topics()
        for name in created:
            console.print(f"[green]created[/] topic {name}")
        for name in applied:
            console.print(f"[green]applied[/] migration {name}")
        console.print(f"{len(TOPICS)} topics and the database are there")

    run(main(), settings)


@topics.command("list")
def list_topics() -> None:
    """List the topics in flow order, with what the broker says about them."""
    settings = load_settings()

    async def main() -> None:
        partitions = await _partitions(Broker(settings))
        table = Table(box=None, header_style="bold")
        for heading in ("topic", "partitions", "key", "value", "kept"):
            table.add_column(heading, justify="right" if heading == "partitions" else "left")
        for topic in TOPICS:
            name = topic.named(settings.topic_prefix)
            found = partitions.get(name)
            table.add_row(
                f"[cyan]{name}[/]",
                "[red]missing[/]" if found is None else str(found),
                topic.key,
                topic.value,
                "last per key" if topic.retention is None else _days(topic.retention),
            )
        Console().print(table)

    run(main(), settings)


@topics.command("asyncapi")
def print_asyncapi() -> None:
    """Print the AsyncAPI 3 document of the topics: keys, headers, values and examples of every record."""
    prefix = load_settings().topic_prefix
    typer.echo(orjson.dumps(asyncapi(version("tidewatch"), prefix), option=orjson.OPT_INDENT_2).decode())


def _days(span: timedelta) -> str:
    return f"{span.days} d"


async def _partitions(broker: Broker) -> dict[str, int]:
    """Number of partitions of every topic on the broker."""
    admin: Any = broker.admin()
    await admin.start()
    try:
        described = await admin.describe_topics()
    finally:
        await admin.close()
    return {topic["topic"]: len(topic["partitions"]) for topic in described}
