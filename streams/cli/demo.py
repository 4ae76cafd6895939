"""``tidewatch demo``: four years of health news through the whole system, and what it noticed."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import orjson
import psycopg
import typer
from aiokafka import AIOKafkaConsumer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from schemas.events.document import UPSERTED, DocumentEvent
from schemas.ids import execution_id
from streams.cli.client import ApiClient
from streams.cli.demo_report import Facts, gather_actions, gather_alerts, gather_triggers, render
from streams.cli.manifests import read_manifest
from streams.cli.process import CommandError, load_settings, run
from streams.cli.reconcile import apply_manifest
from streams.cli.settling import documents_open, effects_open
from streams.cli.stack import TWO_WORKERS, Stack, run_stack
from streams.cli.tweets import DatasetError, Tweet, download, read_tweets
from streams.runtime.broker import Broker
from streams.runtime.children import free_port
from streams.runtime.database import Connection
from streams.runtime.definitions import current_version
from streams.runtime.publisher import Publisher
from streams.runtime.signals import stop_event

DEFINITIONS = Path(__file__).parents[2] / "examples" / "health"
COLLECTION = "health-news"
PARTITIONS = 4
SETTLE_SECONDS = 120.0


def demo(
    once: Annotated[bool, typer.Option("--once", help="End when everything has been shown.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write the facts here as JSON.", dir_okay=False, writable=True)
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port of the query service; a free one when left out.", min=1, max=65535)
    ] = None,
) -> None:
    """Publish 63,326 real health-news tweets to a stack of its own and show what fired. No Docker, no Java."""

    async def main() -> None:
        console = Console(highlight=False)
        with stop_event() as stopping:
            showing = asyncio.create_task(_show(console, port or free_port(), report, once))
            signalled = asyncio.create_task(stopping.wait())
            await asyncio.wait({showing, signalled}, return_when=asyncio.FIRST_COMPLETED)
            signalled.cancel()
            if not showing.done():
                console.print("\nstopping…")
                showing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await showing

    run(main(), load_settings())


async def _show(console: Console, port: int, report: Path | None, once: bool) -> None:
    if report is not None and not report.absolute().parent.is_dir():
        raise CommandError(f"--report: there is no folder {report.absolute().parent}")
    if not DEFINITIONS.is_dir():
        raise CommandError(f"the demo needs its definitions in {DEFINITIONS}; run it from a checkout")
    fetching = asyncio.create_task(_tweets())
    try:
        with console.status("starting…") as status:
            async with run_stack(
                port=port,
                partitions=PARTITIONS,
                workers=TWO_WORKERS,
                progress=lambda what: status.update(f"starting {what}…"),
            ) as stack:
                status.update("waiting for the tweets…")
                tweets = await fetching
                status.stop()
                console.print(f"[bold green]up[/]  {stack.url}  key [bold]{stack.api_key}[/]")
                facts = await _watch_over(stack, _run(console, stack, tweets))
                render(console, facts)
                if report is not None:
                    report.write_bytes(orjson.dumps(facts.to_json(), option=orjson.OPT_INDENT_2))
                    console.print(f"report written to {report}", soft_wrap=True)
                if not once:
                    console.print("It stays up for your questions; [bold]Ctrl-C[/] ends it.")
                    await stack.ended()
    finally:
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)


async def _tweets() -> list[Tweet]:
    try:
        return read_tweets(await download())
    except DatasetError as error:
        raise CommandError(str(error)) from error


async def _watch_over(stack: Stack, work: Awaitable[Facts]) -> Facts:
    """The work's result, or the failure of a part of the stack, whichever comes first."""
    working = asyncio.ensure_future(work)
    watching = asyncio.create_task(stack.ended())
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
        return await working
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _run(console: Console, stack: Stack, tweets: list[Tweet]) -> Facts:
    async with ApiClient(stack.url, stack.api_key, stack.namespace) as api:
        await apply_manifest(read_manifest([DEFINITIONS]), api)
        namespace = (await api.get("v1", "namespaces", stack.namespace)).body["namespace_id"]
        collection = (await api.get("v1", "collections", COLLECTION)).body["collection_id"]
    settings = stack.settings()
    broker = Broker(settings)
    async with await psycopg.AsyncConnection.connect(settings.database, autocommit=True) as connection:
        definitions = await current_version(connection)
        with _bar(console) as bar:
            sending = bar.add_task("published", total=len(tweets))
            started = time.monotonic()
            async with Publisher(broker, definitions=definitions, producer="demo") as publisher:
                for number, event in enumerate(_events(tweets, namespace, collection), 1):
                    await publisher.publish(event)
                    if number % 500 == 0:
                        bar.update(sending, completed=number)
            bar.update(sending, completed=len(tweets))
            storing = bar.add_task("stored and checked", total=len(tweets))

            async def stored() -> None:
                row = await (await connection.execute("SELECT sum(added) FROM collection_counters")).fetchone()
                bar.update(storing, completed=int(row[0] or 0) if row else 0)

            async with _consumer(broker) as consumer:
                await _until(lambda: documents_open(connection, consumer, broker), stored)
                seconds = time.monotonic() - started
                bar.update(storing, completed=len(tweets))
                finishing = bar.add_task("checks and clusterings", total=None)
                await _until(lambda: effects_open(connection, consumer, broker), stored)
                bar.update(finishing, total=1, completed=1)
        return await _facts(connection, stack, namespace, len(tweets), seconds)


def _events(tweets: Iterable[Tweet], namespace_id: str, collection_id: str) -> Iterator[DocumentEvent]:
    for tweet in tweets:
        yield DocumentEvent(
            UPSERTED,
            namespace_id,
            collection_id,
            str(tweet.id),
            tweet.posted_at,
            payload={"source": tweet.source},
            text=tweet.text,
            event_id=str(tweet.id),
        )


@contextlib.contextmanager
def _bar(console: Console) -> Iterator[Progress]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        yield bar


@contextlib.asynccontextmanager
async def _consumer(broker: Broker) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = broker.consumer()
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _until(waiting: Callable[[], Awaitable[list[str]]], between: Callable[[], Awaitable[None]]) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while open_ends := await waiting():
        if time.monotonic() > deadline:
            raise CommandError(f"after {SETTLE_SECONDS:g} s still open: {'; '.join(open_ends)}")
        await between()
        await asyncio.sleep(0.1)


async def _facts(connection: Connection, stack: Stack, namespace_id: str, documents: int, seconds: float) -> Facts:
    alerts = await gather_alerts(connection, namespace_id)
    triggers = await gather_triggers(connection, namespace_id)
    actions = await gather_actions(connection, namespace_id)
    return Facts(documents, seconds, alerts, triggers, actions, await _curl(connection, stack, namespace_id))


async def _curl(connection: Connection, stack: Stack, namespace_id: str) -> list[str]:
    """A line for each of the five reads, with ids of this run."""
    newest = await (
        await connection.execute(
            "SELECT alert_id, retriever_id, base, alert_number FROM alert_executions WHERE namespace_id = %s"
            " ORDER BY appended_at DESC, base DESC, alert_number DESC LIMIT 1",
            (namespace_id,),
        )
    ).fetchone()
    families: dict[str, str] = dict(
        await (
            await connection.execute(
                "SELECT family, min(trigger_id) FROM trigger_state WHERE namespace_id = %s GROUP BY family",
                (namespace_id,),
            )
        ).fetchall()
    )
    lines = [("GET", "/v1/alerts/executions?limit=3")]
    if newest is not None:
        alert_id, retriever_id, base, number = newest
        lines.insert(0, ("GET", f"/v1/alerts/{alert_id}/results"))
        lines.append(("GET", f"/v1/retrievers/{retriever_id}/executions/{execution_id(bytes(base), number)}"))
    if "cluster_trigger" in families:
        lines.append(("POST", f"/v1/clusters/triggers/{families['cluster_trigger']}/history"))
    if "trigger" in families:
        lines.append(("GET", f"/v1/triggers/{families['trigger']}"))
    return [
        f"curl -s{' -X POST' if method == 'POST' else ''} -H 'Authorization: Bearer {stack.api_key}' "
        f"'{stack.url}{path}'"
        for method, path in lines
    ]
