"""``tidewatch query``: the HTTP API, and the station that fills the read view behind them."""

from typing import Annotated

import typer

from streams.cli.process import CommandError, load_settings, run, settle_in

query = typer.Typer(help="Serve the HTTP API until SIGTERM or Ctrl-C.", invoke_without_command=True)


@query.callback()
def serve(
    command: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="TIDEWATCH_HOST")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="TIDEWATCH_PORT")] = None,
) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C."""
    if command.invoked_subcommand is not None:
        return
    settings = load_settings(host=host, port=port)

    async def main() -> None:
        from streams.api.namespaces import ensure_namespace
        from streams.app import SERVED, choose
        from streams.http_app import HttpServer, build_http
        from streams.worker import WorkerFailedError, open_context, run_agents

        async with open_context(settings) as context:
            await ensure_namespace(context.database, settings.namespace)
            materialisers = [station.build(context) for station in choose([SERVED])]
            settle_in()
            try:
                await run_agents(context, [*materialisers, HttpServer(context, build_http(context))])
            except WorkerFailedError as error:
                raise CommandError(str(error)) from error

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
