"""``tidewatch query``: the HTTP API, and the station that fills the read view behind it.

They run in processes of their own: the service is the HTTP server and supervises the materialiser. In one
interpreter whoever reads would wait for each turn of the loop behind records that are being decoded.
"""

import os
from typing import Annotated

import typer

from streams.cli.metrics_folder import metrics_folder
from streams.cli.process import CommandError, load_settings, run, settle_in

query = typer.Typer(help="Serve the HTTP API until SIGTERM or Ctrl-C.", invoke_without_command=True)


@query.callback()
def serve(
    command: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="TIDEWATCH_HOST")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="TIDEWATCH_PORT")] = None,
    processes: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Processes that fill the read view; with [bold]0[/] others do (`worker --stations query`).",
        ),
    ] = 1,
) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C."""
    if command.invoked_subcommand is not None:
        return
    settings = load_settings(host=host, port=port)

    async def main() -> None:
        from streams.api.namespaces import ensure_namespace
        from streams.app import SERVED
        from streams.http_app import HttpServer, build_http
        from streams.processes import Processes
        from streams.runtime.agent import StreamAgent
        from streams.worker import WorkerFailedError, open_context, run_agents

        async with open_context(settings) as context:
            await ensure_namespace(context.database, settings.namespace)
            agents: list[StreamAgent] = [HttpServer(context, build_http(context))]
            if processes:
                # The service tells their metrics; ports of their own may be those of others on this host.
                quiet = settings.model_copy(update={"metrics_port": None})
                agents.insert(0, Processes(quiet, SERVED, processes))
            settle_in()
            try:
                await run_agents(context, agents)
            except WorkerFailedError as error:
                raise CommandError(str(error)) from error

    with metrics_folder() as folder:
        # Before any metric is made: the metrics of all processes are counted in files, and served as one.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        run(main(), settings)


@query.command()
def rebuild() -> None:
    """Empty the view of results; the services that run, or the next that starts, fill it again from the topics."""
    settings = load_settings()

    async def main() -> None:
        from streams.query.rebuilding import empty_view
        from streams.worker import open_context

        async with open_context(settings) as context:
            await empty_view(context.database)
        typer.echo("The view is empty; query services fill it again from the topics.")

    run(main(), settings)
