"""``tidewatch ingest``: JSON lines → the ``documents`` topic."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from schemas.headers import DefinitionsVersion
from streams.cli.bar import progress_bar, say, sent
from streams.cli.client import ApiClient, server_url
from streams.cli.documents import Target
from streams.cli.ingest_run import IngestRun
from streams.cli.lines import LineTooLongError
from streams.cli.output import INTERRUPTED
from streams.cli.process import CommandError, fail, load_settings, run
from streams.runtime.broker import Broker
from streams.runtime.publisher import PublishError
from streams.runtime.signals import stop_event
from streams.settings import Settings


def ingest(
    source: Annotated[
        str, typer.Argument(metavar="FILE|-", help="JSON lines; .gz is decompressed; - reads stdin.")
    ],
    collection: Annotated[
        str | None, typer.Option(help="Where plain documents go: a name, or an id. Full events name their own.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="A name, or an id.", show_default="TIDEWATCH_NAMESPACE")
    ] = None,
    skip_bad: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write bad lines here and go on.", dir_okay=False)
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Send at most this many documents a second.", min=0.001)
    ] = None,
    lateness: Annotated[
        float | None,
        typer.Option(help="Seconds by which the source may be out of order of time.", min=0, show_default="none"),
    ] = None,
) -> None:
    """Publish documents from JSON lines.

    Each line is a plain document (with --collection: its fields are the payload; [bold]document_id[/] or
    [bold]id[/] names it, [bold]text[/], [bold]occurred_at[/] or [bold]timestamp[/] are understood) or a full
    document event. Names are resolved when TIDEWATCH_URL says where the API is. Exits 0 only when every good line
    was acknowledged.
    """
    settings = load_settings()
    if source != "-" and not Path(source).is_file():
        fail(f"{source}: no such file", 2)

    async def main() -> int:
        target, version = await resolve(settings, namespace or settings.namespace, collection)
        span = timedelta(seconds=settings.allowed_lateness_seconds if lateness is None else lateness)
        broker = Broker(settings)
        work = IngestRun(source, target, skip_bad, rate)
        with stop_event() as stopping, progress_bar(work, work.source, work.name, lambda: sent(work)):
            publishing = asyncio.create_task(work.publish(broker, version, span))
            signalled = asyncio.create_task(stopping.wait())
            await asyncio.wait({publishing, signalled}, return_when=asyncio.FIRST_COMPLETED)
            signalled.cancel()
            publishing.cancel()
            problem = None
            try:
                await publishing
            except asyncio.CancelledError:
                problem = "interrupted"
            except (CommandError, PublishError, OSError, LineTooLongError) as error:
                problem = str(error)
            except KafkaError as error:
                problem = f"the broker failed: {error!r}"
        say(work, problem)
        if problem is None:
            return 0
        return INTERRUPTED if stopping.is_set() else 1

    run(main(), settings)


async def resolve(
    settings: Settings, namespace: str, collection: str | None
) -> tuple[Target, DefinitionsVersion | None]:
    """Ids for names, and the definitions version the documents are written after. Without ``TIDEWATCH_URL``
    both must be ids already. Raises :class:`CommandError`."""
    url = server_url()
    if url is None:
        return Target(namespace, collection), None
    key = None if settings.api_key is None else settings.api_key.get_secret_value()
    async with ApiClient(url, key, namespace) as api:
        namespace_id = str((await api.get("v1", "namespaces", namespace)).body["namespace_id"])
        collection_id = None
        if collection is not None:
            collection_id = str((await api.get("v1", "collections", collection)).body["collection_id"])
        version = (await api.get("v1", "health", "deep")).headers.get("X-Definitions-Version")
    return Target(namespace_id, collection_id), None if version is None else DefinitionsVersion.parse(version)
