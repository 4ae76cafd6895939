"""``tidewatch explain``: why one alert matches one document, or does not; from files, without a server."""

import asyncio
import io
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from schemas.errors import DecodeError
from schemas.events.document import DocumentEvent
from schemas.manifest import ManifestError, ManifestObject
from streams.cli.check_definitions import CheckedAlert, read_alerts
from streams.cli.check_documents import read_document
from streams.cli.explain_tree import tree
from streams.cli.lines import line_batches, open_source
from streams.cli.manifests import iter_manifest
from streams.cli.output import standard_output, told_failures
from streams.cli.process import CommandError, fail
from streams.engines.retrieval.execution.memory import MemoryCorpus
from streams.engines.retrieval.execution.surroundings import Surroundings
from streams.engines.retrieval.explain.explanation import Explanation
from streams.engines.retrieval.explain.explanation import explain as explained
from streams.engines.retrieval.explain.tail import explain_tail
from streams.runtime.clock import utc_now


def explain(
    definitions: Annotated[
        str,
        typer.Argument(help="Alerts as for apply: YAML or JSON lines, .gz too; a file, a folder, - for stdin."),
    ],
    alert: Annotated[str, typer.Argument(help="The alert's name.")],
    document: Annotated[str, typer.Argument(help="One JSON object, or JSON lines; .gz too; - reads stdin.")],
    line: Annotated[
        int | None, typer.Option(help="The line of the document, where there are several.", min=1)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object, as the API gives it.")] = False,
) -> None:
    """Show why an alert matches a document: what each condition saw and gave, scores against thresholds, and by
    which index the alert was found or ruled out.

    Last stages that change the document are run and shown, too; for alerts that look documents up in other
    collections, ask a running system: POST /v1/alerts/{alert}/explain.

    An alert that is attached with several sets of inputs is explained once for each that covers the document's
    collection. Exits 0 whether it matches or not.
    """
    if definitions == "-" and document == "-":
        fail("only one of DEFINITIONS and DOCUMENT can be standard input", 2)
    with told_failures():
        chosen = find_alerts(definitions, alert)
        now = utc_now()
        event = find_document(document, line, now)
        covering = [item for item in chosen if not event.collection_id or item.covers(event.collection_id)]
        if not covering:
            names = ", ".join(sorted({name for item in chosen for name in item.collections or ()}))
            raise CommandError(f"alert {alert!r} is for {names}, not for documents of {event.collection_id}")
        for item in covering:
            found = asyncio.run(_explained(item, event, now))
            if json:
                told = {"alert": item.name, "document_id": event.document_id, **found.to_json()}
                standard_output()(orjson.dumps(told) + b"\n")
            else:
                Console(highlight=False, soft_wrap=True).print(tree(item.name, event.document_id, found))


async def _explained(alert: CheckedAlert, event: DocumentEvent, now: datetime) -> Explanation:
    if alert.body is None:
        return explained(alert.plan, event)
    return await explain_tail(alert.plan, alert.body, event, Surroundings(MemoryCorpus(), now, time.monotonic))


def find_alerts(definitions: str, name: str) -> list[CheckedAlert]:
    """One alert of a manifest, once for each set of inputs. Raises :class:`CommandError`."""
    refused: list[ManifestError] = []
    try:
        found = read_alerts(_about(iter_manifest([definitions]), name), refused.append)
    except (ManifestError, UnicodeDecodeError) as error:
        raise CommandError(str(error)) from error
    chosen = [item for item in found if item.name == name]
    if not chosen:
        # Others are not asked about: what is wrong with them is for check to say.
        for problem in refused:
            if f"alert {name!r}" in str(problem):
                raise CommandError(str(problem))
        raise CommandError(f"{definitions}: there is no alert {name!r}")
    return chosen


def _about(objects: Iterable[ManifestObject], name: str) -> Iterator[ManifestObject]:
    """Without the other alerts: nothing depends on them but those that use a retriever of theirs."""
    for item in objects:
        content = item.content
        other = isinstance(content, dict) and content.get("kind") == "alert" and content.get("name") != name
        if not other or "retriever" in content:
            yield item


def find_document(source: str, line: int | None, now: datetime) -> DocumentEvent:
    """The document of a file: its only object, or that of a line. Raises :class:`CommandError`, ``OSError``."""
    with open_source(source) as opened:
        if line is None:
            parts: list[bytes] = []
            while part := opened.read(io.DEFAULT_BUFFER_SIZE):
                parts.append(part)
            text, number = b"".join(parts), 1
        else:
            lines = (item for batch in line_batches(opened, 512) for item in batch)
            text = next((content for count, content in lines if count == line), b"")
            number = line
            if not text:
                raise CommandError(f"{source} has no line {line}")
    try:
        found = read_document(text.strip(), number, now)
    except DecodeError as error:
        several = line is None and b"\n" in text.strip()
        hint = " (of several lines, choose one by --line)" if several else ""
        raise CommandError(f"{source if source == '-' else Path(source).name}: {error}{hint}") from error
    if found is None:
        raise CommandError(f"{source}: the event brings no document")
    return found
