"""``tidewatch agents``: the registry, printed."""

from rich.console import Console
from rich.table import Table


def agents() -> None:
    """List the stations in flow order: what each reads, does and writes."""
    from streams.app import STATIONS

    table = Table(box=None, header_style="bold", padding=(0, 2, 1, 0))
    table.add_column("station", style="cyan", no_wrap=True)
    table.add_column("reads", min_width=16)
    table.add_column("does", min_width=24)
    table.add_column("writes", min_width=20)
    for station in STATIONS:
        table.add_row(station.name, ", ".join(station.reads), station.does, ", ".join(station.writes))
    Console().print(table)
