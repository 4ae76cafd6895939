"""Every command of ``tidewatch``, in the order its help lists them."""

import typer

from streams.cli.agents import agents
from streams.cli.apply import apply
from streams.cli.check import check
from streams.cli.dead_letters import dead_letters
from streams.cli.demo import demo
from streams.cli.dev import dev
from streams.cli.explain import explain
from streams.cli.ingest import ingest
from streams.cli.keys import keys
from streams.cli.query import query
from streams.cli.topics import topics
from streams.cli.worker import worker

app = typer.Typer(
    help="Standing alerts, drift triggers and actions over a stream of documents in Kafka.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)
app.command()(demo)
app.command()(dev)
app.command()(ingest)
app.command()(check)
app.command()(explain)
app.command()(apply)
app.command()(worker)
app.add_typer(query, name="query")
app.add_typer(topics, name="topics")
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(keys, name="keys")
app.command()(agents)
