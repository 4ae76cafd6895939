"""``tidewatch apply``: make a server hold what manifests say."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from schemas.manifest import ManifestError, expand
from streams.cli.client import ApiClient
from streams.cli.manifests import read_manifest
from streams.cli.process import CommandError, load_settings, run
from streams.cli.reconcile import apply_steps

_COLOURS = {"created": "green", "changed": "yellow", "unchanged": "dim"}


def apply(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="YAML or JSON lines: files, folders, - for stdin.")
    ],
    url: Annotated[str, typer.Option(envvar="TIDEWATCH_URL", help="Where the API is.")] = "http://127.0.0.1:8090",
    api_key: Annotated[
        str | None, typer.Option(envvar="TIDEWATCH_API_KEY", help="The key to send.", show_envvar=True)
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(envvar="TIDEWATCH_NAMESPACE", help="A name, or an id.", show_envvar=True)
    ] = None,
    resend_secrets: Annotated[
        bool, typer.Option(help="Send the secrets of every alert again: the server never shows them to compare.")
    ] = False,
) -> None:
    """Create and change definitions from files.

    Each object is the body of an API create plus [bold]kind[/]: namespace, collection, retriever, taxonomy,
    cluster, alert, trigger or cluster_trigger; objects refer to each other by name. Applying the same files again
    changes nothing; what a file leaves out is left as it is. Exits 1 at the first object that cannot be applied.
    """
    settings = load_settings()
    console = Console(soft_wrap=True, highlight=False)

    async def main() -> None:
        try:
            steps = expand(read_manifest(list(paths)))
        except (ManifestError, UnicodeDecodeError) as error:
            raise CommandError(str(error)) from error
        async with ApiClient(url, api_key, namespace) as client:
            async for result in apply_steps(steps, client, resend_secrets=resend_secrets):
                action = f"[{_COLOURS[result.action]}]{result.action:<9}[/]"
                console.print(f"{action} {result.kind:<15} {result.id}  {escape(result.name)}")

    run(main(), settings)
