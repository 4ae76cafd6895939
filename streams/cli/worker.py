"""``tidewatch worker``: the stations, in one process."""

from typing import Annotated, Final

import typer

from streams.cli.process import CommandError, load_settings, run, settle_in

MULTIPLIED: Final = "match"
"""The station that may run in several processes of a worker."""


def worker(
    stations: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…", help="Run only these stations; all but [bold]query[/] when left out. See `agents`."
        ),
    ] = None,
    processes: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Run [bold]match[/] in N processes of its own, say one for each processor."
        ),
    ] = 1,
) -> None:
    """Run the stations until SIGTERM or Ctrl-C."""
    settings = load_settings()

    async def main() -> None:
        from prometheus_client import start_http_server

        from streams.api.namespaces import ensure_namespace
        from streams.app import choose
        from streams.processes import Processes
        from streams.worker import WorkerFailedError, open_context, run_agents

        try:
            chosen = choose(None if stations is None else [name.strip() for name in stations.split(",")])
        except ValueError as error:
            raise CommandError(str(error)) from error
        if processes > 1 and all(station.name != MULTIPLIED for station in chosen):
            raise CommandError(f"--processes is about the station {MULTIPLIED}, which is not among --stations")
        async with open_context(settings) as context:
            await ensure_namespace(context.database, settings.namespace)
            if settings.metrics_port is not None:
                start_http_server(settings.metrics_port, settings.host)
            settle_in()
            try:
                agents = [
                    Processes(settings, MULTIPLIED, processes)
                    if processes > 1 and station.name == MULTIPLIED
                    else station.build(context)
                    for station in chosen
                ]
                await run_agents(context, agents)
            except WorkerFailedError as error:
                raise CommandError(str(error)) from error

    run(main(), settings)
