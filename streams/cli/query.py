"""``tidewatch query``: the HTTP API, and the station that fills the read view behind them."""

from typing import Annotated

import typer

from streams.cli.process import CommandError, load_settings, run, settle_in


def query(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="TIDEWATCH_HOST")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="TIDEWATCH_PORT")] = None,
) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C."""
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
